//! Connections and flows that are passed on as they are: by port, by SNI, by datagram; all on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use policy::config::{
    AppProtocol, Attachment, Backend, BackendRef, Endpoints, HostPair, Listener, Match, Protocol, RouteKey, Rule, Secret,
};
use policy::{Config, Hostname, Reason, Token};
use proxy::{Options, Server};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

const PATIENCE: Duration = Duration::from_secs(10);

fn options() -> Options {
    let seconds = Duration::from_secs;
    Options {
        bind: [127, 0, 0, 1].into(),
        admin_addr: ([127, 0, 0, 1], 0).into(),
        connect_to: Vec::new(),
        upstream_ca: Vec::new(),
        threads: 2,
        connect_timeout: seconds(5),
        first_byte_timeout: seconds(5),
        idle_timeout: seconds(5),
        header_timeout: seconds(5),
        drain_timeout: seconds(1),
    }
}

struct Proxy(Option<Server>);

impl Proxy {
    fn start(site: &Site) -> Self {
        let mut proxy = Self(Some(Server::start(options()).unwrap()));
        proxy.apply(site);
        proxy
    }

    fn apply(&mut self, site: &Site) {
        let failed = self.0.as_mut().unwrap().apply(site.0.clone()).unwrap();
        assert!(failed.is_empty(), "{failed:?}");
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.0.as_ref().unwrap().admin_addr()).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.0.take().unwrap().drain();
    }
}

/// A configuration.
#[derive(Default)]
struct Site(Config);

impl Site {
    fn listen(&mut self, name: &str, port: u16, protocol: Protocol, host: &str) {
        let certificates = if protocol.terminates_tls() { vec!["certificate".to_owned()] } else { Vec::new() };
        let hostname = (!host.is_empty()).then(|| Hostname::parse(host).unwrap());
        self.0.listeners.insert(name.to_owned(), Arc::new(Listener { port, protocol, hostname, certificates, client_auth: None }));
    }

    fn certify(&mut self, identity: &Identity) {
        let secret = Secret::Certificate { chain: identity.chain.clone(), key: Token::new(identity.key.serialize_pem()) };
        self.0.secrets.insert("certificate".to_owned(), Arc::new(secret));
    }

    /// Everything that comes in on a listener for a host goes to these.
    fn route(&mut self, listener: &str, host: &str, backends: &[SocketAddr]) {
        let host = (!host.is_empty()).then(|| Hostname::parse(host).unwrap());
        let mut shares = Vec::new();
        for address in backends {
            let name = address.to_string();
            self.0.endpoints.insert(name.clone(), Arc::new(Endpoints { addresses: vec![*address] }));
            let backend = Backend::Service { endpoints: name.clone(), protocol: AppProtocol::Http1, tls: None };
            self.0.backends.insert(name.clone(), Arc::new(backend));
            shares.push(BackendRef { weight: 1, backend: Ok(name), filters: None });
        }
        if backends.is_empty() {
            shares.push(BackendRef { weight: 1, backend: Err(Reason::InvalidBackendRef), filters: None });
        }
        let rule = Rule {
            route: RouteKey { kind: "TLSRoute".to_owned(), namespace: "ns".to_owned(), name: listener.to_owned() },
            attachments: vec![Attachment { listener: listener.to_owned(), hosts: vec![HostPair { host: host.clone(), original: host }] }],
            matches: vec![Match::default()],
            backends: shares,
            ..Rule::default()
        };
        self.0.rules.insert(format!("rule-{}", self.0.rules.len()), Arc::new(rule));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Says a word to whoever connects, and everything that it hears.
fn echo(greeting: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        stream.write_all(greeting.as_bytes())?;
        io::copy(&mut stream.try_clone()?, &mut stream)?;
        stream.shutdown(Shutdown::Write)
    })
}

/// As [`echo`], in TLS, four bytes long.
fn tls_echo(identity: &Identity, greeting: &'static str) -> SocketAddr {
    let config = identity.server();
    serve(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        stream.write_all(greeting.as_bytes())?;
        let mut heard = [0; 4];
        stream.read_exact(&mut heard)?;
        stream.write_all(&heard)?;
        stream.flush()
    })
}

fn serve(talk: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let (listener, talk) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(talk));
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, talk) = (stream.unwrap(), Arc::clone(&talk));
            std::thread::spawn(move || talk(stream));
        }
    });
    address
}

/// Answers each datagram with a word and what it said.
fn udp_echo(greeting: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut heard = [0; 2048];
        while let Ok((length, peer)) = socket.recv_from(&mut heard) {
            let _ = socket.send_to(&[greeting.as_bytes(), &heard[..length]].concat(), peer);
        }
    });
    address
}

/// A certificate of its own.
struct Identity {
    chain: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn new(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        Self { chain: certificate.pem(), der: certificate.der().clone(), key }
    }

    fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        Arc::new(builder.with_single_cert(vec![self.der.clone()], key.into()).unwrap())
    }

    /// A client that trusts nobody else.
    fn client(&self, name: &str) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap()
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn connect_udp(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn asked(socket: &UdpSocket, word: &str) -> String {
    socket.send(word.as_bytes()).unwrap();
    let mut answer = [0; 2048];
    let length = socket.recv(&mut answer).unwrap();
    String::from_utf8(answer[..length].to_vec()).unwrap()
}

/// Hears the greeting, and four bytes back.
fn talk(stream: &mut (impl Read + Write), greeting: &str) {
    let mut heard = vec![0; greeting.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), greeting);
    stream.write_all(b"ping").unwrap();
    stream.flush().unwrap();
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"ping");
}

/// That it ends, and that nothing was said before.
fn ends_in_silence(mut stream: TcpStream) {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    assert_eq!(said, b"", "an answer to a connection that is refused");
}

#[test]
fn joins_a_connection_to_its_backend_whoever_speaks_first_and_whoever_ends_first() {
    let (port, mut site) = (free_port(), Site::default());
    site.listen("tcp", port, Protocol::Tcp, "");
    site.route("tcp", "", &[echo("hello")]);
    let proxy = Proxy::start(&site);
    let mut stream = connect(port);
    talk(&mut stream, "hello");
    let large = vec![7; 1 << 20];
    let mut writer = stream.try_clone().unwrap();
    let sent = large.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    sender.join().unwrap();
    assert!(heard == large, "{} bytes came back", heard.len());
    let metrics = proxy.metrics();
    assert!(metrics.contains("keyward_streams_total{protocol=\"tcp\"} 1\n"), "{metrics}");
    assert!(metrics.contains(&format!("keyward_stream_bytes_total{{direction=\"received\"}} {}\n", large.len() + 4)), "{metrics}");
    assert!(metrics.contains(&format!("keyward_stream_bytes_total{{direction=\"sent\"}} {}\n", large.len() + 9)), "{metrics}");
}

#[test]
fn refuses_a_connection_that_leads_nowhere() {
    let (none, invalid, dead, mut site) = (free_port(), free_port(), free_port(), Site::default());
    for (name, port) in [("none", none), ("invalid", invalid), ("dead", dead)] {
        site.listen(name, port, Protocol::Tcp, "");
    }
    site.route("invalid", "", &[]);
    site.route("dead", "", &[([127, 0, 0, 1], free_port()).into()]);
    let proxy = Proxy::start(&site);
    [none, invalid, dead].into_iter().for_each(|port| ends_in_silence(connect(port)));
    let metrics = proxy.metrics();
    for line in [
        "keyward_refusals_total{reason=\"no_route\"} 1\n",
        "keyward_refusals_total{reason=\"invalid_backend_ref\"} 1\n",
        "keyward_upstream_errors_total{error=\"connect\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} {metrics}");
    }
}

#[test]
fn one_port_passes_tls_on_or_ends_it_as_the_name_says() {
    let (here, there, port, mut site) =
        (Identity::new(&["ends.example.com"]), Identity::new(&["on.example.com"]), free_port(), Site::default());
    site.certify(&here);
    site.listen("ends", port, Protocol::Tls, "ends.example.com");
    site.listen("on", port, Protocol::TlsPassthrough, "*.example.com");
    site.route("ends", "ends.example.com", &[echo("in clear")]);
    site.route("on", "on.example.com", &[tls_echo(&there, "sealed")]);
    let proxy = Proxy::start(&site);
    for (identity, name, greeting) in [(&here, "ends.example.com", "in clear"), (&there, "on.example.com", "sealed")] {
        let mut stream = StreamOwned::new(identity.client(name), connect(port));
        talk(&mut stream, greeting);
    }
    assert!(proxy.metrics().contains("keyward_streams_total{protocol=\"tls\"} 2\n"));
}

#[test]
fn a_tls_connection_that_is_refused_ends_without_an_alert() {
    let (identity, port, mut site) = (Identity::new(&["a.example.com"]), free_port(), Site::default());
    site.certify(&identity);
    site.listen("ends", port, Protocol::Tls, "broken.example.com");
    site.listen("web", port, Protocol::Https, "web.example.com");
    site.listen("on", port, Protocol::TlsPassthrough, "*.example.com");
    site.route("ends", "broken.example.com", &[]);
    site.route("on", "a.example.com", &[echo("hello")]);
    let _proxy = Proxy::start(&site);
    // No listener, no route, no backend, and no SNI at all.
    for name in ["other.org", "b.example.com", "broken.example.com", "10.0.0.1"] {
        let mut hello = Vec::new();
        identity.client(name).write_tls(&mut hello).unwrap();
        let mut stream = connect(port);
        stream.write_all(&hello).unwrap();
        ends_in_silence(stream);
    }
}

#[test]
fn keeps_an_open_connection_when_its_port_closes_and_takes_no_new_one() {
    let (port, mut site) = (free_port(), Site::default());
    site.listen("tcp", port, Protocol::Tcp, "");
    site.route("tcp", "", &[echo("hello")]);
    let mut proxy = Proxy::start(&site);
    let mut stream = connect(port);
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting).unwrap();
    proxy.apply(&Site::default());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    talk(&mut stream, "");
}

#[test]
fn a_flow_stays_with_its_backend_and_gets_its_answers() {
    let (port, mut site) = (free_udp_port(), Site::default());
    site.listen("udp", port, Protocol::Udp, "");
    site.route("udp", "", &[udp_echo("a"), udp_echo("b")]);
    let proxy = Proxy::start(&site);
    let mut backends = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let client = connect_udp(port);
        let first = asked(&client, "1");
        for word in ["2", "", "a longer one"] {
            assert_eq!(asked(&client, word), format!("{}{word}", &first[..1]));
        }
        backends.insert(first);
    }
    assert_eq!(backends.into_iter().collect::<Vec<_>>(), ["a1", "b1"]);
    let metrics = proxy.metrics();
    assert!(metrics.contains("keyward_udp_flows 40\n") && metrics.contains("keyward_streams_total{protocol=\"udp\"} 40\n"), "{metrics}");
}

#[test]
fn a_udp_port_closes_and_opens_again_and_a_flow_to_nowhere_gets_nothing() {
    let (port, mut site) = (free_udp_port(), Site::default());
    site.listen("udp", port, Protocol::Udp, "");
    let mut proxy = Proxy::start(&site);
    let client = connect_udp(port);
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    client.send(b"lost").unwrap();
    assert!(client.recv(&mut [0; 16]).is_err());
    assert!(proxy.metrics().contains("keyward_refusals_total{reason=\"no_route\"} 1\n"));
    site.route("udp", "", &[udp_echo("a")]);
    proxy.apply(&site);
    assert_eq!(asked(&connect_udp(port), "1"), "a1");
    proxy.apply(&Site::default());
    assert!(proxy.metrics().contains("keyward_udp_flows 0\n"));
    // Nobody has it any more.
    drop(UdpSocket::bind(("127.0.0.1", port)).unwrap());
    proxy.apply(&site);
    assert_eq!(asked(&connect_udp(port), "2"), "a2");
}
