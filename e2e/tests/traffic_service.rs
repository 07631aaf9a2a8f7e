//! Services: which backend gets a request, whether it may, and what is answered when there is none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use keyward_e2e::{
    Canned, Connection, Echo, Echoed, Gateway, Request, Setup, eventually, gateway, gateway_with, loopback, route_with, service,
};

const SOON: Duration = Duration::from_secs(5);

fn start(manifests: &str) -> anyhow::Result<Gateway> {
    Setup::new().manifest("all.yaml", &(gateway(&[8080]) + manifests)).log_filter("info").start()
}

/// How often each backend, or each status that is no success, came in so many requests on one connection.
fn tally(gateway: &Gateway, requests: usize) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    let mut connection = Connection::open(gateway.addr())?;
    for _ in 0..requests {
        let answer = connection.exchange(&Request::get("/"))?;
        let who = if answer.status == 200 { Echoed::read(&answer.body)?.backend().to_owned() } else { answer.status.to_string() };
        *counts.entry(who).or_default() += 1;
    }
    Ok(counts)
}

#[test]
fn spreads_requests_by_weight() -> anyhow::Result<()> {
    let (blue, green, red) = (Echo::start("blue")?, Echo::start("green")?, Echo::start("red")?);
    let rule = "{backendRefs: [{name: blue, port: 80, weight: 70}, {name: green, port: 80, weight: 30}, {name: red, port: 80, weight: 0}]}";
    let services = blue.manifests("blue") + &green.manifests("green") + &red.manifests("red");
    let gateway = start(&(services + &route_with("weighted", rule)))?;
    let counts = tally(&gateway, 500)?;
    // 350 are expected with a standard deviation of 10: outside of five of them once in a million runs.
    let blue = counts.get("blue").copied().unwrap_or_default();
    assert!((300..=400).contains(&blue), "{counts:?}");
    assert_eq!(blue + counts.get("green").copied().unwrap_or_default(), 500, "{counts:?}");
    assert_eq!(red.requests(), 0);
    Ok(())
}

#[test]
fn answers_500_when_every_weight_is_zero() -> anyhow::Result<()> {
    let blue = Echo::start("blue")?;
    let rule = "{backendRefs: [{name: blue, port: 80, weight: 0}]}";
    let gateway = start(&(blue.manifests("blue") + &route_with("nobody", rule)))?;
    assert_eq!(gateway.send(&Request::get("/"))?.status, 500);
    assert_eq!(blue.connections(), 0);
    Ok(())
}

#[test]
fn refuses_only_the_share_of_a_backend_that_is_missing() -> anyhow::Result<()> {
    let blue = Echo::start("blue")?;
    let rule = "{backendRefs: [{name: blue, port: 80, weight: 1}, {name: missing, port: 80, weight: 1}]}";
    let gateway = start(&(blue.manifests("blue") + &route_with("half", rule)))?;
    let counts = tally(&gateway, 100)?;
    let names: Vec<&str> = counts.keys().map(String::as_str).collect();
    assert_eq!(names, ["500", "blue"], "{counts:?}");
    Ok(())
}

#[test]
fn answers_500_for_a_service_or_a_port_that_does_not_exist() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let missing = "{matches: [{path: {type: PathPrefix, value: /service}}], backendRefs: [{name: missing, port: 80}]}";
    let port = "{matches: [{path: {type: PathPrefix, value: /port}}], backendRefs: [{name: echo, port: 81}]}";
    let gateway = start(&(echo.manifests("echo") + &route_with("missing", missing) + &route_with("port", port)))?;
    for target in ["/service", "/port"] {
        assert_eq!(gateway.send(&Request::get(target))?.status, 500, "{target}");
    }
    assert_eq!(echo.connections(), 0);
    let log = gateway.log()?;
    assert!(log.contains("gloo-system/missing does not exist") && log.contains("has no port 81"), "{log}");
    Ok(())
}

#[test]
fn answers_404_where_no_route_leads_and_serves_the_next_request_on_the_connection() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let rule = "{matches: [{path: {type: PathPrefix, value: /here}}], backendRefs: [{name: echo, port: 80}]}";
    let gateway = start(&(echo.manifests("echo") + &route_with("here", rule)))?;
    let mut connection = Connection::open(gateway.addr())?;
    for (target, status) in [("/there", 404), ("/here", 200), ("/hereabouts", 404), ("/here/", 200)] {
        assert_eq!(connection.exchange(&Request::get(target))?.status, status, "{target}");
    }
    assert_eq!(echo.requests(), 2);
    Ok(())
}

#[test]
fn answers_503_until_an_endpoint_is_ready() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let rest = gateway(&[8080]) + &route_with("echo", "{backendRefs: [{name: echo, port: 80}]}");
    let unready = echo.manifests("echo").replace("ready: true", "ready: false");
    let gateway = Setup::new().manifest("rest.yaml", &rest).manifest("service.yaml", &unready).start()?;
    assert_eq!(gateway.send(&Request::get("/"))?.status, 503);
    assert_eq!(echo.connections(), 0);
    gateway.write("service.yaml", &echo.manifests("echo"))?;
    eventually("the endpoint is used", SOON, || Ok(gateway.send(&Request::get("/"))?.status == 200))
}

#[test]
fn never_shows_a_dead_endpoint_beside_a_live_one() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let dead = SocketAddr::from((loopback(), 9));
    let pool = service("pool", &[dead, echo.addr()], None);
    let gateway = start(&(pool + &route_with("pool", "{backendRefs: [{name: pool, port: 80}]}")))?;
    for _ in 0..30 {
        // A connection of its own may come to another worker, whose pool of connections is another.
        assert_eq!(gateway.send(&Request::get("/"))?.status, 200);
        assert_eq!(gateway.send(&Request::post("/", "{}"))?.status, 200);
    }
    assert_eq!(echo.requests(), 60);
    Ok(())
}

#[test]
fn answers_502_when_all_endpoints_are_dead() -> anyhow::Result<()> {
    let dead = SocketAddr::from((loopback(), 9));
    let gateway = start(&(service("pool", &[dead], None) + &route_with("pool", "{backendRefs: [{name: pool, port: 80}]}")))?;
    assert_eq!(gateway.send(&Request::get("/"))?.status, 502);
    Ok(())
}

#[test]
fn connects_anew_when_the_backend_has_closed_an_idle_connection() -> anyhow::Result<()> {
    // It says nothing of closing, and closes.
    let backend = Canned::start(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine".to_vec())?;
    let gateway = start(&(backend.manifests("canned") + &route_with("canned", "{backendRefs: [{name: canned, port: 80}]}")))?;
    let mut connection = Connection::open(gateway.addr())?;
    for method in ["GET", "POST", "POST", "GET"] {
        let answer = connection.exchange(&Request::new(method, "/"))?;
        assert_eq!((answer.status, answer.text().as_str()), (200, "fine"), "{method}");
        // The backend's close must have come, or whether the request was taken could not be told.
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(backend.requests(), 4);
    Ok(())
}

/// A route of one path on one listener.
fn on_listener(section: &str, path: &str) -> String {
    let rule = format!("{{matches: [{{path: {{type: PathPrefix, value: {path}}}}}], backendRefs: [{{name: echo, port: 80}}]}}");
    route_with(section, &rule).replace("namespace: gloo-system}]", &format!("namespace: gloo-system, sectionName: {section}}}]"))
}

#[test]
fn keeps_listeners_of_one_port_apart_by_hostname() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let listeners = [
        "{name: exact, protocol: HTTP, port: 8080, hostname: a.example.com}",
        "{name: wild, protocol: HTTP, port: 8080, hostname: \"*.example.com\"}",
        "{name: any, protocol: HTTP, port: 8080}",
    ];
    let routes = on_listener("exact", "/exact") + &on_listener("wild", "/wild") + &on_listener("any", "/any");
    let manifests = gateway_with(&listeners) + &echo.manifests("echo") + &routes;
    let gateway = Setup::new().manifest("all.yaml", &manifests).start()?;
    for (host, served) in [
        ("a.example.com", "/exact"),
        ("A.Example.COM:8080", "/exact"),
        ("b.example.com", "/wild"),
        ("a.b.example.com", "/wild"),
        ("example.com", "/any"),
        ("other.org", "/any"),
    ] {
        for target in ["/exact", "/wild", "/any"] {
            let expected = if target == served { 200 } else { 404 };
            assert_eq!(gateway.send(&Request::get(target).header("Host", host))?.status, expected, "{host} {target}");
        }
    }
    Ok(())
}

#[test]
fn routes_by_the_most_specific_hostname_of_the_routes() -> anyhow::Result<()> {
    let (exact, wild, any) = (Echo::start("exact")?, Echo::start("wild")?, Echo::start("any")?);
    let route = |name: &str, hostnames: &str| {
        let rule = format!("{{backendRefs: [{{name: {name}, port: 80}}]}}");
        route_with(name, &rule).replace("  rules:", &format!("  hostnames: {hostnames}\n  rules:"))
    };
    let services = exact.manifests("exact") + &wild.manifests("wild") + &any.manifests("any");
    let routes = route("exact", "[a.example.com]") + &route("wild", "[\"*.example.com\"]") + &route("any", "[]");
    let gateway = start(&(services + &routes))?;
    for (host, backend) in [("a.example.com", "exact"), ("b.example.com:8080", "wild"), ("example.com", "any"), ("b.org", "any")] {
        let answer = gateway.send(&Request::get("/").header("Host", host))?;
        assert_eq!(Echoed::read(&answer.body)?.backend(), backend, "{host}");
    }
    Ok(())
}

const GRANT: &str = "apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: routes, namespace: elsewhere}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: gloo-system}]
  to: [{group: \"\", kind: Service, name: echo}]
";

#[test]
fn leads_to_another_namespace_only_while_a_reference_grant_allows_it() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let elsewhere = echo.manifests("echo").replace("gloo-system", "elsewhere");
    let manifests = elsewhere + &route_with("echo", "{backendRefs: [{name: echo, namespace: elsewhere, port: 80}]}");
    let gateway = start(&manifests)?;
    let answers = |status: u16| -> anyhow::Result<bool> { Ok(gateway.send(&Request::get("/"))?.status == status) };
    assert!(answers(500)?, "a foreign Service was served without a grant");
    assert!(gateway.log()?.contains("no ReferenceGrant there allows it"), "{}", gateway.log()?);
    assert_eq!(echo.connections(), 0);
    gateway.write("grant.yaml", &GRANT.replace("name: echo", "name: another"))?;
    gateway.write("mark.yaml", &on_listener("http-8080", "/mark").replace("name: echo,", "name: missing,"))?;
    eventually("the other grant was read", SOON, || Ok(gateway.log()?.contains("gloo-system/missing does not exist")))?;
    assert!(answers(500)?, "a grant for another Service was taken for this one");
    gateway.write("grant.yaml", GRANT)?;
    eventually("the grant is used", SOON, || answers(200))?;
    gateway.remove("grant.yaml")?;
    eventually("the grant is gone", SOON, || answers(500))
}
