//! The administrators' API about policies, the budgets of sites, and named sites.

use super::{
    EmptyResult, ServerState,
    administrator::Administrator,
    extract::JsonBody,
    routes::{Routes, Rule, Scoping},
    versions::{self, version_of},
};
use crate::{refusal::Refusal, server::Server, store::is_same_name};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use banyan_proto::{
    Reason, UnixSeconds,
    access::Permission,
    admin::{GroupPolicy, SetPolicy},
    assignments::{NameSite, NamedSite},
    schedule::Policy,
    site_budget::{SetSiteBudget, SiteStatus},
};
use utoipa_axum::routes;

pub(super) fn add_to(routes: Routes) -> Routes {
    let (read, change) =
        (|scoping| Rule::read(Permission::View, scoping), |scoping| Rule::change(Permission::Configure, scoping));
    routes
        .add(read(Scoping::Narrowed), routes!(policies))
        .add(change(Scoping::Narrowed), routes!(set_policy))
        .add(read(Scoping::WholeServer), routes!(sites))
        .add(change(Scoping::WholeServer), routes!(set_site_budget))
        .add(read(Scoping::WholeServer), routes!(named_sites))
        .add(change(Scoping::WholeServer), routes!(name_site))
}

/// Lists the policies of all groups, and the one of all machines.
#[utoipa::path(
    get,
    path = "/api/v1/policies",
    operation_id = "list_policies",
    tag = "policies",
    responses((status = 200, description = "The policies in force.", body = Vec<GroupPolicy>))
)]
async fn policies(State(server): ServerState, administrator: Administrator) -> Json<Vec<GroupPolicy>> {
    let mut policies = policies_with_versions(&server);
    let scope = administrator.scope();
    if !scope.is_all() {
        policies.retain(|policy| policy.group.as_deref().is_none_or(|group| scope.has_group(group)));
        for policy in policies.iter_mut().filter(|policy| policy.group.is_none()) {
            // Its numbers count machines outside the scope.
            (policy.machines, policy.applies_to) = (0, None);
        }
    }
    Json(policies)
}

/// Returns the policies with their versions. Numbers and times are left out: those of another group's change can be in it.
fn policies_with_versions(server: &Server) -> Vec<GroupPolicy> {
    let mut policies = server.policies.all();
    for one in &mut policies {
        let content = Policy { number: 0, issued: UnixSeconds(0), ..one.policy.clone() };
        let own = one.own.then_some((one.rank, content));
        one.version = Some(version_of(&(&one.group, own)));
    }
    policies
}

/// Sets or removes the policy of a group, or of all machines. `If-Match` makes that depend on the version in the list.
#[utoipa::path(
    post,
    path = "/api/v1/policies",
    operation_id = "set_policy",
    tag = "policies",
    request_body = SetPolicy,
    responses((status = 204, description = "The policy is in force."))
)]
async fn set_policy(
    State(server): ServerState,
    administrator: Administrator,
    headers: HeaderMap,
    JsonBody(request): JsonBody<SetPolicy>,
) -> EmptyResult {
    administrator.note_object("policy", request.group.as_deref().unwrap_or("*"));
    let scope = administrator.scope();
    if !request.group.as_deref().map_or_else(|| scope.is_all(), |group| scope.has_group(group)) {
        let detail = "your token is limited to groups, and this policy is not theirs";
        return Err(Refusal::forbidden(Reason::NotAllowed, detail));
    }
    let _editing = server.editing.lock().await;
    let is_this = |policy: &GroupPolicy| match (&policy.group, &request.group) {
        (Some(one), Some(other)) => is_same_name(one, other),
        (one, other) => one == other,
    };
    let present = policies_with_versions(&server).into_iter().find(is_this);
    versions::check(&headers, present.as_ref().and_then(|one| one.version.as_deref()).unwrap_or_default(), &present)?;
    let own = present.filter(|present| present.own);
    administrator.note_before(&own.map(|own| (own.rank, own.policy)));
    administrator.note_after(&(request.rank, &request.policy));
    server.policies.set(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the sites that have machines or a budget.
#[utoipa::path(
    get,
    path = "/api/v1/sites",
    operation_id = "list_sites",
    tag = "sites",
    responses((status = 200, description = "The sites.", body = Vec<SiteStatus>))
)]
async fn sites(State(server): ServerState) -> Json<Vec<SiteStatus>> {
    Json(sites_with_versions(&server))
}

fn sites_with_versions(server: &Server) -> Vec<SiteStatus> {
    let mut sites = server.site_budgets.all();
    sites.iter_mut().for_each(|one| one.version = Some(version_of(&(one.site, &one.budget))));
    sites
}

/// Sets or removes the budget of a site. `If-Match` makes that depend on the version in the list.
#[utoipa::path(
    post,
    path = "/api/v1/sites",
    operation_id = "set_site_budget",
    tag = "sites",
    request_body = SetSiteBudget,
    responses((status = 204, description = "The budget is in force."))
)]
async fn set_site_budget(
    State(server): ServerState,
    administrator: Administrator,
    headers: HeaderMap,
    JsonBody(request): JsonBody<SetSiteBudget>,
) -> EmptyResult {
    administrator.note_object("site", request.site);
    let _editing = server.editing.lock().await;
    let present = sites_with_versions(&server).into_iter().find(|status| status.site == request.site);
    versions::check(&headers, present.as_ref().and_then(|one| one.version.as_deref()).unwrap_or_default(), &present)?;
    administrator.note_before(&present.and_then(|status| status.budget));
    administrator.note_after(&request.budget);
    server.site_budgets.set(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the named sites.
#[utoipa::path(
    get,
    path = "/api/v1/sites/names",
    operation_id = "list_named_sites",
    tag = "sites",
    responses((status = 200, description = "The named sites.", body = Vec<NamedSite>))
)]
async fn named_sites(State(server): ServerState) -> Json<Vec<NamedSite>> {
    Json(named_sites_with_versions(&server))
}

fn named_sites_with_versions(server: &Server) -> Vec<NamedSite> {
    let mut sites = server.named_sites.all();
    sites.iter_mut().for_each(|one| one.version = Some(version_of(&(&one.name, &one.ranges))));
    sites
}

/// Gives ranges of addresses a name, or removes the name. `If-Match` makes that depend on the version in the list.
#[utoipa::path(
    post,
    path = "/api/v1/sites/names",
    operation_id = "name_site",
    tag = "sites",
    request_body = NameSite,
    responses((status = 204, description = "The name is set or removed."))
)]
async fn name_site(
    State(server): ServerState,
    administrator: Administrator,
    headers: HeaderMap,
    JsonBody(request): JsonBody<NameSite>,
) -> EmptyResult {
    administrator.note_object("site-name", &request.name);
    let _editing = server.editing.lock().await;
    let all = named_sites_with_versions(&server);
    let present = all.into_iter().find(|site| is_same_name(&site.name, &request.name));
    versions::check(&headers, present.as_ref().and_then(|one| one.version.as_deref()).unwrap_or_default(), &present)?;
    administrator.note_before(&present.map(|present| present.ranges));
    administrator.note_after(&request.ranges);
    server.named_sites.set(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}
