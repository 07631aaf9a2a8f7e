//! Filters: what changes on the way to a Service and back, what is answered instead, and what is sent elsewhere as well.

use std::time::{Duration, Instant};

use keyward_e2e::{Echo, Echoed, Gateway, Provider, Request, Response, Setup, eventually, gateway, route_with, service, upstream};

const KEY: &str = "sk-filter-tests";
const SOON: Duration = Duration::from_secs(5);

fn start(manifests: &str) -> anyhow::Result<Gateway> {
    Setup::new().manifest("all.yaml", &(gateway(&[8080]) + manifests)).start()
}

/// A route for each rule.
fn routes(rules: &[&str]) -> String {
    rules.iter().enumerate().map(|(nth, rule)| route_with(&format!("route-{nth}"), rule)).collect()
}

#[test]
fn changes_headers_by_the_rule_and_then_by_the_backend() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let rule = "{filters: [
        {type: RequestHeaderModifier, requestHeaderModifier: {
          set: [{name: X-Set, value: rule}], add: [{name: x-add, value: rule}], remove: [X-Gone]}},
        {type: ResponseHeaderModifier, responseHeaderModifier: {
          set: [{name: x-rule, value: \"yes\"}], add: [{name: x-via, value: rule}], remove: [x-backend]}}],
      backendRefs: [{name: echo, port: 80, filters: [
        {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: backend}], add: [{name: X-Add, value: backend}]}},
        {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-via, value: backend}]}}]}]}";
    let gateway = start(&(echo.manifests("echo") + &route_with("headers", rule)))?;
    let request = Request::get("/")
        .header("x-set", "client")
        .header("x-add", "client")
        .header("x-gone", "client")
        .header("x-kept", "client")
        .header("x-echo-header", "x-via=upstream,x-rule=no");
    let answer = gateway.send(&request)?;
    let received = Echoed::read(&answer.body)?;
    assert_eq!(received.header("x-set"), ["backend"]);
    assert_eq!(received.header("x-add"), ["client", "rule", "backend"]);
    assert!(received.header("x-gone").is_empty());
    assert_eq!(received.header("x-kept"), ["client"]);
    assert_eq!(answer.head.header_values("x-via"), ["upstream", "backend", "rule"]);
    assert_eq!(answer.head.header_values("x-rule"), ["yes"]);
    assert!(answer.head.header("x-backend").is_none(), "{:?}", answer.head);
    Ok(())
}

const REDIRECTS: [&str; 5] = [
    "{matches: [{path: {type: PathPrefix, value: /all}}], filters: [{type: RequestRedirect, requestRedirect: {scheme: https, \
      hostname: new.example.com, port: 8443, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}, statusCode: 301}}]}",
    "{matches: [{path: {type: PathPrefix, value: /scheme}}], filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}",
    "{matches: [{path: {type: PathPrefix, value: /path}}], filters: [{type: RequestRedirect, requestRedirect: \
      {path: {type: ReplaceFullPath, replaceFullPath: /else}}}]}",
    "{matches: [{path: {type: PathPrefix, value: /port}}], filters: [{type: RequestRedirect, requestRedirect: {port: 80}}]}",
    "{matches: [{path: {type: PathPrefix, value: /host}}], filters: [{type: RequestRedirect, requestRedirect: \
      {hostname: other.example.com, statusCode: 302}}]}",
];

#[test]
fn redirects_to_exactly_what_the_filter_says() -> anyhow::Result<()> {
    let gateway = start(&routes(&REDIRECTS))?;
    for (target, status, location) in [
        ("/all/a%20b?c=d&e", 301, "https://new.example.com:8443/new/a%20b?c=d&e"),
        ("/all", 301, "https://new.example.com:8443/new"),
        // "If redirect scheme is not-empty, the redirect port MUST be the well-known port associated with the redirect scheme."
        ("/scheme/x?q=1", 302, "https://gateway.test/scheme/x?q=1"),
        // "If redirect scheme is empty, the redirect port MUST be the Gateway Listener port."
        ("/path/x?q=1", 302, "http://gateway.test:8080/else?q=1"),
        ("/port/x", 302, "http://gateway.test/port/x"),
        ("/host/", 302, "http://other.example.com:8080/host/"),
    ] {
        let answer = gateway.send(&Request::get(target))?;
        assert_eq!((answer.status, answer.head.header("location")), (status, Some(location)), "{target}");
    }
    Ok(())
}

const REWRITES: [&str; 5] = [
    "{matches: [{path: {type: PathPrefix, value: /full}}], filters: [{type: URLRewrite, urlRewrite: \
      {path: {type: ReplaceFullPath, replaceFullPath: /whole}}}], backendRefs: [{name: echo, port: 80}]}",
    "{matches: [{path: {type: PathPrefix, value: /api}}], filters: [{type: URLRewrite, urlRewrite: \
      {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}], backendRefs: [{name: echo, port: 80}]}",
    "{matches: [{path: {type: PathPrefix, value: /host}}], filters: [{type: URLRewrite, urlRewrite: \
      {hostname: internal.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /base}}}], backendRefs: [{name: echo, port: 80}]}",
    "{matches: [{path: {type: PathPrefix, value: /backend}}], filters: [{type: URLRewrite, urlRewrite: \
      {path: {type: ReplacePrefixMatch, replacePrefixMatch: /rule}}}], backendRefs: [{name: echo, port: 80, filters: [{type: URLRewrite, \
      urlRewrite: {hostname: pod.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /pod}}}]}]}",
    "{matches: [{path: {type: PathPrefix, value: /plain}}], backendRefs: [{name: echo, port: 80}]}",
];

#[test]
fn rewrites_path_and_host() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&(echo.manifests("echo") + &routes(&REWRITES)))?;
    for (target, received, host) in [
        ("/full/x/y?q=1", "/whole?q=1", "gateway.test"),
        ("/api/v1/x?q=%2F", "/v1/x?q=%2F", "gateway.test"),
        ("/api", "/", "gateway.test"),
        ("/host/a", "/base/a", "internal.example"),
        ("/backend/a", "/pod/a", "pod.example"),
        ("/plain//a%2Fb;c?&&", "/plain//a%2Fb;c?&&", "gateway.test"),
    ] {
        let answer = gateway.send(&Request::get(target))?;
        let echoed = Echoed::read(&answer.body)?;
        assert_eq!((echoed.target(), echoed.host()), (received, host), "{target}");
    }
    Ok(())
}

#[test]
fn mirrors_a_request_and_does_not_wait_for_the_copy() -> anyhow::Result<()> {
    let (main, shadow) = (Echo::start("main")?, Echo::start("shadow")?);
    let rule = "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}}}], \
        backendRefs: [{name: main, port: 80}]}";
    let gateway = start(&(main.manifests("main") + &shadow.manifests("shadow") + &route_with("mirrored", rule)))?;
    let body = "x".repeat(100_000);
    let badly = Request::post("/a?b=c", &body)
        .header("x-own", "1")
        .header("x-echo-at", "shadow")
        .header("x-echo-status", "500")
        .header("x-echo-delay", "5000");
    let start = Instant::now();
    let answer = gateway.send(&badly)?;
    assert!(start.elapsed() < Duration::from_secs(4), "the client waited for the mirror: {:?}", start.elapsed());
    assert_eq!((answer.status, Echoed::read(&answer.body)?.backend()), (200, "main"));
    eventually("the copy arrives", SOON, || Ok(!shadow.journal().is_empty()))?;
    let copies = shadow.journal();
    assert_eq!(copies.len(), 1);
    let copy = copies.first().map(|copy| (copy.method(), copy.target(), copy.header("x-own"), copy.body_length()));
    assert_eq!(copy, Some(("POST", "/a?b=c", vec!["1"], 100_000)));
    assert_eq!(main.requests(), 1);
    Ok(())
}

#[test]
fn answers_as_ever_when_the_mirror_is_dead_or_missing() -> anyhow::Result<()> {
    let main = Echo::start("main")?;
    let dead = service("dead", &[std::net::SocketAddr::from((keyward_e2e::loopback(), 9))], None);
    let rule = |name: &str| {
        format!(
            "{{matches: [{{path: {{type: PathPrefix, value: /{name}}}}}], \
             filters: [{{type: RequestMirror, requestMirror: {{backendRef: {{name: {name}, port: 80}}}}}}], \
             backendRefs: [{{name: main, port: 80}}]}}"
        )
    };
    let gateway = start(&(main.manifests("main") + &dead + &routes(&[&rule("dead"), &rule("missing")])))?;
    for target in ["/dead", "/missing"] {
        let answer = gateway.send(&Request::post(target, "{}"))?;
        assert_eq!((answer.status, Echoed::read(&answer.body)?.body_length()), (200, 2), "{target}");
    }
    Ok(())
}

#[test]
fn keeps_every_credential_out_of_the_mirror_of_an_ai_route() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let shadow = Echo::start("shadow")?;
    let rule = "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}}}], \
        backendRefs: [{name: openai, group: gloo.solo.io, kind: Upstream}]}";
    let upstream = upstream("openai", &format!("{{openai: {{authToken: {{inline: {KEY}}}}}}}"));
    let manifests = gateway(&[8080]) + &upstream + &shadow.manifests("shadow") + &route_with("mirrored", rule);
    let gateway = Setup::new().manifest("all.yaml", &manifests).provider(&provider).start()?;
    let request = Request::chat("/v1/chat/completions?key=sk-client-query&a=b")
        .header("Authorization", "Bearer sk-client-1")
        .header("X-API-Key", "sk-client-2")
        .header("api-key", "sk-client-3")
        .header("x-goog-api-key", "sk-client-4");
    let answer = gateway.send(&request)?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = provider.only_request()?;
    assert_eq!(received.header_values("authorization"), [format!("Bearer {KEY}")]);
    eventually("the copy arrives", SOON, || Ok(!shadow.journal().is_empty()))?;
    let copies = format!("{:?}", shadow.journal());
    assert!(!copies.contains("sk-"), "a credential is in the copy: {copies}");
    assert!(copies.contains("a=b"), "{copies}");
    assert_eq!(shadow.journal().first().map(Echoed::body_length), Some(received.body_len));
    Ok(())
}

const CORS: &str = "{filters: [{type: CORS, cors: {allowOrigins: [\"https://app.example.com\", \"https://*.trusted.example\"], \
    allowMethods: [GET, PUT], allowHeaders: [x-token], exposeHeaders: [x-backend], allowCredentials: true, maxAge: 600}}], \
    backendRefs: [{name: echo, port: 80}]}";

fn allowed_origin(answer: &Response) -> Option<&str> {
    answer.head.header("access-control-allow-origin")
}

#[test]
fn answers_a_preflight_without_the_backend() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&(echo.manifests("echo") + &route_with("cors", CORS)))?;
    let preflight = |origin: &str| {
        Request::new("OPTIONS", "/")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "PUT")
            .header("Access-Control-Request-Headers", "x-token")
    };
    for origin in ["https://app.example.com", "https://a.trusted.example"] {
        let answer = gateway.send(&preflight(origin))?;
        assert_eq!((answer.status, allowed_origin(&answer)), (204, Some(origin)));
        for (name, value) in
            [("allow-methods", "GET, PUT"), ("allow-headers", "x-token"), ("allow-credentials", "true"), ("max-age", "600")]
        {
            assert_eq!(answer.head.header(&format!("access-control-{name}")), Some(value), "{name}");
        }
        assert!(answer.head.header_values("vary").iter().any(|vary| vary.eq_ignore_ascii_case("origin")), "{:?}", answer.head);
    }
    for origin in ["https://evil.example", "http://app.example.com", "https://app.example.com.evil.example", "null"] {
        let answer = gateway.send(&preflight(origin))?;
        assert_eq!(allowed_origin(&answer), None, "{origin}");
    }
    assert_eq!(echo.connections(), 0, "a preflight reached the backend");
    Ok(())
}

#[test]
fn says_which_origin_may_read_an_answer_whatever_the_backend_says() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&(echo.manifests("echo") + &route_with("cors", CORS)))?;
    let from = |origin: &str| Request::get("/").header("Origin", origin).header("x-echo-header", "access-control-allow-origin=*");
    let allowed = gateway.send(&from("https://app.example.com"))?;
    assert_eq!((allowed.status, allowed_origin(&allowed)), (200, Some("https://app.example.com")));
    assert_eq!(allowed.head.header_values("access-control-allow-origin").len(), 1);
    assert_eq!(allowed.head.header("access-control-expose-headers"), Some("x-backend"));
    assert_eq!(allowed.head.header("access-control-allow-credentials"), Some("true"));
    let foreign = gateway.send(&from("https://evil.example"))?;
    assert_eq!((foreign.status, allowed_origin(&foreign)), (200, None), "the backend's own word passed");
    Ok(())
}
