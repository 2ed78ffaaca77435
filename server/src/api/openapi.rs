//! The description of the administrators' API (OpenAPI 3.1), put together from the routes, and served by the version that
//! it describes.

use super::routes::{Needs, Rule, Scoping, Work};
use crate::access::idempotency;
use axum::{Extension, http::header::CONTENT_TYPE, response::IntoResponse};
use banyan_proto::{
    admin::{ChangedMeanwhile, Working},
    api::ApiError,
};
use std::sync::Arc;
use utoipa::{
    OpenApi as _,
    openapi::{
        Content, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        schema::{ObjectBuilder, Type},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

/// The security scheme's name.
const TOKEN: &str = "token";

/// What every refusal looks like: the statuses, and what each means.
const REFUSALS: &[(&str, &str)] = &[
    ("400", "The request is malformed."),
    ("401", "The token is missing, wrong, expired or revoked."),
    ("403", "The token's role lacks the permission (`x-permission`), or its groups do not cover this."),
    ("404", "There is no such object, or the token's groups do not include it."),
    ("408", "The request's body arrived too slowly."),
    ("409", "The request is valid but conflicts with the present state."),
    ("422", "The request is understood but cannot be carried out, or comes from a newer version."),
    ("500", "The server failed; its log has the details."),
];
/// What requests that change something can be answered beside that.
const REFUSALS_OF_CHANGES: &[(&str, &str)] = &[
    ("412", "`If-Match` names another version than the present one, which the answer has."),
    ("413", "The body is too large."),
    ("507", "The server's disk is full."),
];

/// The description as JSON text.
#[derive(Clone)]
pub(super) struct Description(Arc<str>);

impl Description {
    pub(super) fn new(description: &OpenApi) -> Self {
        Self(description.to_json().unwrap_or_default().into())
    }
}

/// Returns this description of the API.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    operation_id = "get_description",
    tag = "server",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = serde_json::Value))
)]
pub(super) async fn document(Extension(Description(text)): Extension<Description>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], text.to_string())
}

/// Returns the description of an API without routes.
pub(super) fn empty() -> OpenApi {
    #[derive(utoipa::OpenApi)]
    #[openapi(
        info(
            title = "Banyan admin API",
            description = "What administrators ask of a Banyan server. `docs/api.md` explains what all requests have in \
                           common. `x-permission` names the permission that a request needs, and `x-groups` what a token \
                           that is limited to groups of machines can do with it."
        ),
        components(schemas(ApiError, ChangedMeanwhile, Working))
    )]
    struct Empty;
    let mut description = Empty::openapi();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    description.components.get_or_insert_default().add_security_scheme(TOKEN, scheme);
    description
}

fn answer(description: &str, schema: &str) -> RefOr<Response> {
    let content = Content::new(Some(Ref::from_schema_name(schema)));
    ResponseBuilder::new().description(description).content("application/json", content).into()
}

/// Adds to a route's description what follows from its rule. Returns it with the operation's name.
pub(super) fn complete(mut item: PathItem, rule: Rule) -> (PathItem, String) {
    let mut name = String::new();
    let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
    for operation in operations.into_iter().flatten() {
        name = operation.operation_id.clone().unwrap_or_default();
        complete_operation(operation, rule);
    }
    (item, name)
}

fn complete_operation(operation: &mut Operation, rule: Rule) {
    let changes = rule.work != Work::Read;
    let refusals = REFUSALS.iter().chain(if changes { REFUSALS_OF_CHANGES } else { &[] });
    for (status, description) in refusals {
        let answers = &mut operation.responses.responses;
        let body = if *status == "412" { "ChangedMeanwhile" } else { "ApiError" };
        answers.entry((*status).to_owned()).or_insert_with(|| answer(description, body));
    }
    if changes {
        let description = "The server is still at work; ask `GET /api/v1/work/{work}` for the answer.";
        let answers = &mut operation.responses.responses;
        answers.entry("202".to_owned()).or_insert_with(|| answer(description, "Working"));
    }
    if rule.work == Work::Alone {
        let key = ParameterBuilder::new()
            .name(idempotency::HEADER)
            .parameter_in(ParameterIn::Header)
            .description(Some("A new text for each request. The same request with the same key is carried out once."))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(128))))
            .build();
        operation.parameters.get_or_insert_default().push(key.into());
    }
    operation.security = Some(vec![SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
    let permission = match rule.needs {
        Needs::AnyToken => "any-token",
        Needs::Permission(permission) => permission.name(),
    };
    let groups = match rule.scoping {
        Scoping::NoMachines => "not-concerned",
        Scoping::Narrowed => "narrowed",
        Scoping::WholeServer => "refused",
    };
    let extensions = [("x-permission", permission), ("x-groups", groups)];
    operation.extensions.get_or_insert_default().merge(extensions.into_iter().collect());
}

/// Adds a route's description.
pub(super) fn insert(to: &mut OpenApi, path: &str, item: PathItem) {
    match to.paths.paths.get_mut(path) {
        Some(present) => present.merge_operations(item),
        None => drop(to.paths.paths.insert(path.to_owned(), item)),
    }
}

/// Adds the types that a route's description names.
pub(super) fn insert_schemas(to: &mut OpenApi, schemas: Vec<(String, RefOr<Schema>)>) {
    to.components.get_or_insert_default().schemas.extend(schemas);
}
