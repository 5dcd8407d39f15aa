//! What is served, described: an OpenAPI 3.1 document for programs, and a page for people, who may try the methods there.
//! Calls nothing.

use super::{
    Site,
    answer::{Answer, JSON, answer},
};
use crate::descriptor::Method;
use hyper::{
    StatusCode,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value as Json, json};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The document of everything that speaks HTTP+JSON here.
pub(super) fn document(site: &Site) -> Answer {
    let document = site
        .document
        .get_or_init(|| describe(site).to_string().into());
    answer(StatusCode::OK, JSON, document.clone())
}

const PAGE: &str = include_str!("page.html");

/// The page may run its own script, with its own style, and ask this server. A test knows the hashes.
const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-PzHeZWQbHO5/+FVrYMvJ8mMVE2Adt6wGWDpuxGjE/ug='; \
    style-src 'sha256-NBHc865INx3IkK0OzVtjnDpj3sJIs1OBPqRxTceAtLA='; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page for people.
pub(super) fn page(_: &Site) -> Answer {
    let mut page = answer(
        StatusCode::OK,
        "text/html; charset=utf-8",
        Bytes::from_static(PAGE.as_bytes()),
    );
    let headers = page.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    page
}

fn describe(site: &Site) -> Json {
    let settings = SchemaSettings::draft2020_12();
    let settings = settings.with(|it| it.definitions_path = "/components/schemas".into());
    let mut generator = SchemaGenerator::new(settings);
    let mut paths = Map::new();
    let mut tags = Vec::new();
    for (path, mount) in &site.routes.json {
        let descriptor = site.routes.descriptor(*mount);
        let tag = path.trim_start_matches('/');
        let tag = if tag.is_empty() { descriptor.name } else { tag };
        tags.push(json!({ "name": tag, "description": descriptor.doc }));
        for method in descriptor.methods {
            let operation = operation(tag, method, &mut generator);
            paths.insert(
                format!("{path}/{}", method.name),
                json!({ "post": operation }),
            );
        }
    }
    let title = tags.iter().filter_map(|tag| tag["name"].as_str());
    let title = title.collect::<Vec<_>>().join(", ");
    let mut schemas = generator.take_definitions(true);
    schemas.insert("fault".to_owned(), fault());
    let mut document = json!({
        "openapi": "3.1.1",
        "info": { "title": title, "version": "1" },
        "jsonSchemaDialect": DIALECT,
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": { "schemas": schemas },
    });
    if site.portal.is_some() {
        document["components"]["securitySchemes"] = json!({
            "password": { "type": "http", "scheme": "basic" },
            "token": { "type": "http", "scheme": "bearer" },
        });
        document["security"] = json!([{ "password": [] }, { "token": [] }]);
    }
    document
}

fn operation(tag: &str, method: &Method, generator: &mut SchemaGenerator) -> Json {
    let content = |schema: Json| json!({ "application/json": { "schema": schema } });
    let arguments = method.arguments_schema(generator);
    let required = arguments["required"].as_array();
    let required = required.is_some_and(|required| !required.is_empty());
    let result = method.result.schema(generator).to_value();
    json!({
        "operationId": format!("{tag}.{}", method.name),
        "tags": [tag],
        "summary": method.to_string(),
        "description": method.doc,
        "requestBody": { "required": required, "content": content(arguments) },
        "responses": {
            "200": { "description": "The result.", "content": content(result) },
            "default": {
                "description": "Why there is none.",
                "content": content(json!({ "$ref": "#/components/schemas/fault" })),
            },
        },
    })
}

fn fault() -> Json {
    json!({
        "type": "object",
        "properties": {
            "code": { "type": "string", "description": "What programs compare." },
            "message": { "type": "string", "description": "What people read." },
        },
        "required": ["code", "message"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    fn between<'a>(start: &str, end: &str) -> &'a str {
        let (_, rest) = PAGE.split_once(start).unwrap();
        let (inside, rest) = rest.split_once(end).unwrap();
        assert!(!rest.contains(start), "there is one only");
        inside
    }

    /// When this fails, the page has been changed: put the hashes that it prints into `POLICY`.
    #[test]
    fn the_policy_lets_the_page_run_its_own_script_and_no_other() {
        for (kind, text) in [
            ("script", between("<script>", "</script>")),
            ("style", between("<style>", "</style>")),
        ] {
            let hash = STANDARD.encode(Sha256::digest(text));
            let source = format!("{kind}-src 'sha256-{hash}'");
            assert!(POLICY.contains(&source), "expected {source}");
        }
    }

    #[test]
    fn the_page_brings_everything_along_and_trusts_no_text() {
        for foreign in ["http:", "https:", "src=", "href=", "innerHTML", "eval("] {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
    }
}
