//! HTTPS listeners: the certificate that the name asks for, the protocol that the client prefers, and certificates that are
//! replaced or wrong.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use keyward_e2e::{Authority, Curled, Echo, Gateway, Leaf, Request, Setup, curl, eventually, gateway_with, route_with, tls_secret};

const PORT: u16 = 8443;
const SOON: Duration = Duration::from_secs(5);

/// Listeners for a.example.com and b.example.com with certificates of Secrets `a` and `b`, and one without TLS, all leading to `echo`.
fn listeners() -> String {
    let https = |name: &str| {
        format!(
            "{{name: {name}, protocol: HTTPS, port: {PORT}, hostname: {name}.example.com, \
             tls: {{mode: Terminate, certificateRefs: [{{name: {name}}}]}}}}"
        )
    };
    gateway_with(&[https("a"), https("b"), "{name: plain, protocol: HTTP, port: 8080}".to_owned()])
}

fn secret(name: &str, leaf: &Leaf) -> String {
    tls_secret(name, &leaf.certificate, &leaf.key)
}

fn start(echo: &Echo, a: &str, b: &str) -> anyhow::Result<Gateway> {
    let manifests = listeners() + &echo.manifests("echo") + &route_with("echo", "{backendRefs: [{name: echo, port: 80}]}");
    Setup::new().manifest("all.yaml", &manifests).manifest("a.yaml", a).manifest("b.yaml", b).log_filter("info").start()
}

/// Gets `https://NAME.example.com/`, with the head of the answer before its body.
fn get(authority: &Authority, at: IpAddr, name: &str, arguments: &[&str]) -> anyhow::Result<Curled> {
    let (ca, resolve) = (authority.ca_file().display().to_string(), format!("{name}.example.com:{PORT}:{at}"));
    let url = format!("https://{name}.example.com:{PORT}/");
    curl(&[&["--cacert", ca.as_str(), "--resolve", resolve.as_str(), "-D", "-"][..], arguments, &[url.as_str()]].concat())
}

#[test]
fn serves_the_certificate_and_the_protocol_that_the_client_asks_for() -> anyhow::Result<()> {
    let (authority, echo) = (Authority::generate()?, Echo::start("echo")?);
    // Each certificate has one name, so that curl refuses the other listener's.
    let (a, b) = (authority.leaf("a.example.com")?, authority.leaf("b.example.com")?);
    let gateway = start(&echo, &secret("a", &a), &secret("b", &b))?;
    for name in ["a", "b"] {
        for (argument, status_line) in [("--http2", "HTTP/2 200"), ("--http1.1", "HTTP/1.1 200"), ("--no-alpn", "HTTP/1.1 200")] {
            let answer = get(&authority, gateway.addr().ip(), name, &[argument])?;
            assert!(answer.body.starts_with(status_line), "{name} {argument}: {}", answer.body);
            assert!(answer.body.contains(&format!("{name}.example.com:{PORT}")), "the Host is lost: {}", answer.body);
        }
        let old = get(&authority, gateway.addr().ip(), name, &["--tls-max", "1.2"])?;
        assert_eq!(old.status, 200);
    }
    Ok(())
}

#[test]
fn makes_no_handshake_for_a_name_that_no_listener_has() -> anyhow::Result<()> {
    let (authority, echo) = (Authority::generate()?, Echo::start("echo")?);
    let (a, b) = (authority.leaf("a.example.com")?, authority.leaf("b.example.com")?);
    let gateway = start(&echo, &secret("a", &a), &secret("b", &b))?;
    let at = gateway.addr().ip();
    let no_name = format!("https://{at}:{PORT}/");
    // Status 35 of curl: the handshake failed. With --insecure it is not the certificate that it dislikes.
    for refused in [get(&authority, at, "c", &["--insecure"]), curl(&["--insecure", &no_name])] {
        let error = refused.err().context("served a name that nobody has")?.to_string();
        assert!(error.contains("(35)"), "{error}");
    }
    assert_eq!(get(&authority, at, "a", &[])?.status, 200);
    Ok(())
}

#[test]
fn closes_a_connection_that_speaks_no_tls_and_goes_on() -> anyhow::Result<()> {
    let (authority, echo) = (Authority::generate()?, Echo::start("echo")?);
    let (a, b) = (authority.leaf("a.example.com")?, authority.leaf("b.example.com")?);
    let gateway = start(&echo, &secret("a", &a), &secret("b", &b))?;
    let mut connection = keyward_e2e::Connection::open(gateway.at(PORT))?;
    connection.write(b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")?;
    let answer = String::from_utf8_lossy(&connection.read_to_end()?).into_owned();
    assert!(!answer.contains(" 200 "), "{answer}");
    assert_eq!((echo.connections(), get(&authority, gateway.addr().ip(), "a", &[])?.status), (0, 200));
    Ok(())
}

/// Makes handshakes until told to stop; gives the certificates that were served, a run of the same one as one.
fn shake_hands(authority: &Authority, gateway: &Gateway, stop: &AtomicBool) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut served: Vec<Vec<u8>> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let leaf = authority.handshake(gateway.at(PORT), "a.example.com").context("a handshake failed")?;
        if served.last() != Some(&leaf) {
            served.push(leaf);
        }
    }
    Ok(served)
}

/// Replaces the certificate of Secret `a` three times, each time waiting until the new one is served.
fn rotate(authority: &Authority, gateway: &Gateway) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut rotated = Vec::new();
    for _ in 0..3 {
        let leaf = authority.leaf("a.example.com")?;
        gateway.write("a.yaml", &secret("a", &leaf))?;
        eventually("the new certificate is served", SOON, || Ok(authority.handshake(gateway.at(PORT), "a.example.com")? == leaf.der))?;
        rotated.push(leaf.der);
    }
    Ok(rotated)
}

#[test]
fn serves_a_rotated_certificate_and_fails_no_handshake_meanwhile() -> anyhow::Result<()> {
    let (authority, echo) = (Authority::generate()?, Echo::start("echo")?);
    let (a, b) = (authority.leaf("a.example.com")?, authority.leaf("b.example.com")?);
    let gateway = start(&echo, &secret("a", &a), &secret("b", &b))?;
    let stop = AtomicBool::new(false);
    let (rotated, served) = std::thread::scope(|scope| {
        let client = scope.spawn(|| shake_hands(&authority, &gateway, &stop));
        let rotated = rotate(&authority, &gateway);
        // Long enough for the client to meet the last one.
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        (rotated, client.join())
    });
    let (rotated, served) = (rotated?, served.ok().context("the client panicked")??);
    let written: Vec<Vec<u8>> = std::iter::once(a.der).chain(rotated).collect();
    let order: Vec<Option<usize>> = served.iter().map(|leaf| written.iter().position(|known| known == leaf)).collect();
    // Never an old one after a new one, and the last one in the end.
    assert!(order.first() == Some(&Some(0)) && order.is_sorted() && order.last() == Some(&Some(3)), "served in this order: {order:?}");
    assert_eq!(authority.handshake(gateway.at(PORT), "b.example.com")?, b.der);
    Ok(())
}

/// The other listeners are served and listener `a` is not.
fn check_only_a_is_out(authority: &Authority, gateway: &Gateway) -> anyhow::Result<()> {
    ensure!(authority.handshake(gateway.at(PORT), "a.example.com").is_err(), "a was served");
    ensure!(get(authority, gateway.addr().ip(), "b", &[])?.status == 200);
    ensure!(gateway.send(&Request::get("/"))?.status == 200);
    Ok(())
}

/// That the log tells of Secret `a`, and shows nothing of its key.
fn check_report(gateway: &Gateway, keys: &[&Leaf]) -> anyhow::Result<()> {
    let log = gateway.log()?;
    let told = |line: &str| line.contains("Secret gloo-system/a ") && (line.contains("a.yaml") || line.contains("all.yaml"));
    ensure!(log.lines().any(told), "no line names the Secret:\n{log}");
    let body = |leaf: &Leaf| leaf.key.lines().nth(1).unwrap_or("no key").to_owned();
    ensure!(!log.contains("PRIVATE KEY") && keys.iter().all(|leaf| !log.contains(&body(leaf))), "the log shows a key");
    Ok(())
}

#[test]
fn reports_a_certificate_that_does_not_match_its_key_and_serves_the_other_listeners() -> anyhow::Result<()> {
    let (authority, echo) = (Authority::generate()?, Echo::start("echo")?);
    let (a, b) = (authority.leaf("a.example.com")?, authority.leaf("b.example.com")?);
    let gateway = start(&echo, &tls_secret("a", &a.certificate, &b.key), &secret("b", &b))?;
    check_only_a_is_out(&authority, &gateway)?;
    check_report(&gateway, &[&a, &b])?;
    gateway.write("a.yaml", &secret("a", &a))?;
    eventually("the mended certificate is served", SOON, || Ok(authority.handshake(gateway.at(PORT), "a.example.com").is_ok()))
}

#[test]
fn goes_on_following_the_files_when_a_rotated_certificate_does_not_match_its_key() -> anyhow::Result<()> {
    let (authority, echo) = (Authority::generate()?, Echo::start("echo")?);
    let (a, b) = (authority.leaf("a.example.com")?, authority.leaf("b.example.com")?);
    let gateway = start(&echo, &secret("a", &a), &secret("b", &b))?;
    gateway.write("a.yaml", &tls_secret("a", &a.certificate, &b.key))?;
    let rotated = authority.leaf("b.example.com")?;
    gateway.write("b.yaml", &secret("b", &rotated))?;
    let served = || Ok(authority.handshake(gateway.at(PORT), "b.example.com")? == rotated.der);
    eventually("the other Secret's new certificate is served", SOON, served)?;
    check_report(&gateway, &[&a, &b])
}

#[test]
fn reports_a_certificate_secret_that_is_missing_or_of_another_type() -> anyhow::Result<()> {
    let (authority, echo) = (Authority::generate()?, Echo::start("echo")?);
    let (a, b) = (authority.leaf("a.example.com")?, authority.leaf("b.example.com")?);
    let opaque = secret("a", &a).replace("kubernetes.io/tls", "Opaque");
    for wrong in ["# no Secret here\n", &opaque, &tls_secret("a", "not PEM", &a.key)] {
        let gateway = start(&echo, wrong, &secret("b", &b))?;
        check_only_a_is_out(&authority, &gateway)?;
        check_report(&gateway, &[&a, &b])?;
    }
    Ok(())
}
