//! Volume access groups and initiators, from parameters to requests and from replies to JSON.

use serde_json::{Value, json};

use super::decode::limit;
use super::params::Params;
use crate::state::{
    AccessGroupId, AccessGroupPatch, AccessGroupRecord, AccessRequest, ApiError, Initiator, InitiatorId,
    InitiatorPatch, InitiatorRef, Reply, VolumeId,
};

/// What `method` asks, if it is one of these.
pub(super) fn decode(method: &str, params: &mut Params) -> Result<Option<AccessRequest>, ApiError> {
    Ok(Some(match method {
        "CreateVolumeAccessGroup" => AccessRequest::Create(group_patch(params)?),
        "ListVolumeAccessGroups" => AccessRequest::List {
            start: params.find_integer("startVolumeAccessGroupID")?.map(AccessGroupId),
            limit: limit(params)?,
            only: params
                .find_integers("volumeAccessGroups")?
                .map(|ids| ids.into_iter().map(AccessGroupId).collect()),
        },
        "ModifyVolumeAccessGroup" => AccessRequest::Modify(group(params)?, group_patch(params)?),
        "DeleteVolumeAccessGroup" => {
            params.find_flag("force")?;
            AccessRequest::Delete { id: group(params)?, orphans: orphans(params)? }
        }
        "AddVolumesToVolumeAccessGroup" => AccessRequest::AddVolumes(group(params)?, volumes(params)?),
        "RemoveVolumesFromVolumeAccessGroup" => {
            AccessRequest::RemoveVolumes(group(params)?, volumes(params)?)
        }
        "AddInitiatorsToVolumeAccessGroup" => {
            AccessRequest::AddInitiators(group(params)?, required_initiators(params)?)
        }
        "RemoveInitiatorsFromVolumeAccessGroup" => AccessRequest::RemoveInitiators {
            id: group(params)?,
            initiators: required_initiators(params)?,
            orphans: orphans(params)?,
        },
        "GetVolumeAccessGroupLunAssignments" => AccessRequest::Luns(group(params)?),
        "ModifyVolumeAccessGroupLunAssignments" => AccessRequest::SetLuns(group(params)?, luns(params)?),
        _ => return initiators_methods(method, params),
    }))
}

fn initiators_methods(method: &str, params: &mut Params) -> Result<Option<AccessRequest>, ApiError> {
    Ok(Some(match method {
        "CreateInitiators" => {
            let new = |mut one: Params| Ok((one.require_text("name")?, initiator_patch(&mut one)?));
            let all = params.require_objects("initiators")?;
            AccessRequest::CreateInitiators(all.into_iter().map(new).collect::<Result<_, ApiError>>()?)
        }
        "ListInitiators" => AccessRequest::ListInitiators {
            start: params.find_integer("startInitiatorID")?.map(InitiatorId),
            limit: limit(params)?,
            only: params.find_integers("initiators")?.map(|ids| ids.into_iter().map(InitiatorId).collect()),
        },
        "ModifyInitiators" => {
            let patch = |mut one: Params| {
                let id = one.require_integer("initiatorID").map(InitiatorId)?;
                Ok((id, initiator_patch(&mut one)?))
            };
            let all = params.require_objects("initiators")?;
            AccessRequest::ModifyInitiators(all.into_iter().map(patch).collect::<Result<_, ApiError>>()?)
        }
        "DeleteInitiators" => {
            let ids = params.find_integers("initiators")?;
            let ids = ids.ok_or(ApiError::MissingParameter { member: "initiators" })?;
            AccessRequest::DeleteInitiators(ids.into_iter().map(InitiatorId).collect())
        }
        _ => return Ok(None),
    }))
}

fn group(params: &mut Params) -> Result<AccessGroupId, ApiError> {
    params.require_integer("volumeAccessGroupID").map(AccessGroupId)
}

fn volumes(params: &mut Params) -> Result<Vec<VolumeId>, ApiError> {
    let ids = params.find_integers("volumes")?.ok_or(ApiError::MissingParameter { member: "volumes" })?;
    Ok(ids.into_iter().map(VolumeId).collect())
}

fn orphans(params: &mut Params) -> Result<bool, ApiError> {
    Ok(params.find_flag("deleteOrphanInitiators")?.unwrap_or(false))
}

/// Initiators as a list of numbers and names; absent when it is.
fn initiators(params: &mut Params) -> Result<Option<Vec<InitiatorRef>>, ApiError> {
    let named = |value: Value| match value {
        Value::String(name) => Ok(InitiatorRef::Name(name)),
        Value::Number(id) => id.as_i64().map(|id| InitiatorRef::Id(InitiatorId(id))).ok_or(wrong()),
        _ => Err(wrong()),
    };
    let values = params.find_values("initiators")?;
    values.map(|values| values.into_iter().map(named).collect()).transpose()
}

fn wrong() -> ApiError {
    ApiError::ParameterType { member: "initiators".into(), expected: "a list of names and numbers" }
}

fn required_initiators(params: &mut Params) -> Result<Vec<InitiatorRef>, ApiError> {
    initiators(params)?.ok_or(ApiError::MissingParameter { member: "initiators" })
}

fn group_patch(params: &mut Params) -> Result<AccessGroupPatch, ApiError> {
    let volumes = params.find_values("volumes")?;
    Ok(AccessGroupPatch {
        name: params.find_text("name")?,
        initiators: initiators(params)?,
        volumes: volumes
            .map(|values| {
                values.iter().map(|value| super::params::integer("volumes", value).map(VolumeId)).collect()
            })
            .transpose()?,
        attributes: params.find_object("attributes")?,
    })
}

fn initiator_patch(params: &mut Params) -> Result<InitiatorPatch, ApiError> {
    let out = params.take_null("volumeAccessGroupID");
    let group = params.find_integer("volumeAccessGroupID")?;
    Ok(InitiatorPatch {
        alias: params.find_text("alias")?,
        group: match group {
            _ if out => Some(None),
            Some(0) => Some(None),
            group => group.map(|id| Some(AccessGroupId(id))),
        },
        attributes: params.find_object("attributes")?,
    })
}

fn luns(params: &mut Params) -> Result<Vec<(VolumeId, i64)>, ApiError> {
    let lun =
        |mut one: Params| Ok((one.require_integer("volumeID").map(VolumeId)?, one.require_integer("lun")?));
    params.require_objects("lunAssignments")?.into_iter().map(lun).collect()
}

/// The `result` of these methods.
pub(super) fn result(reply: &Reply) -> Value {
    match reply {
        Reply::AccessGroup(one) => {
            json!({"volumeAccessGroupID": one.group.id.0, "volumeAccessGroup": record(one)})
        }
        Reply::AccessGroups(many) => {
            json!({"volumeAccessGroups": many.iter().map(record).collect::<Vec<_>>(), "volumeAccessGroupsNotFound": []})
        }
        Reply::Luns(one) => json!({"volumeAccessGroupLunAssignments": assignments(one)}),
        Reply::Initiators(many) => json!({"initiators": many.iter().map(initiator).collect::<Vec<_>>()}),
        _ => json!({}),
    }
}

fn record(record: &AccessGroupRecord) -> Value {
    let group = &record.group;
    let (deleted, active): (Vec<_>, Vec<_>) =
        group.volumes.keys().partition(|volume| record.deleted.contains(volume));
    let numbers = |ids: Vec<&VolumeId>| ids.into_iter().map(|id| id.0).collect::<Vec<_>>();
    json!({
        "volumeAccessGroupID": group.id.0,
        "name": group.name,
        "initiators": record.initiators.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        "initiatorIDs": record.initiators.iter().map(|one| one.id.0).collect::<Vec<_>>(),
        "volumes": numbers(active),
        "deletedVolumes": numbers(deleted),
        "attributes": group.attributes,
    })
}

fn assignments(record: &AccessGroupRecord) -> Value {
    let of = |deleted: bool| {
        let its = record.group.volumes.iter().filter(|(id, _)| record.deleted.contains(id) == deleted);
        its.map(|(id, lun)| json!({"volumeID": id.0, "lun": lun})).collect::<Vec<_>>()
    };
    json!({
        "volumeAccessGroupID": record.group.id.0,
        "lunAssignments": of(false),
        "deletedLunAssignments": of(true),
    })
}

fn initiator(initiator: &Initiator) -> Value {
    json!({
        "initiatorID": initiator.id.0,
        "initiatorName": initiator.name,
        "alias": initiator.alias,
        "volumeAccessGroups": initiator.group.iter().map(|group| group.0).collect::<Vec<_>>(),
        "attributes": initiator.attributes,
        "requireChap": false,
        "chapUsername": null,
        "initiatorSecret": null,
        "targetSecret": null,
        "virtualNetworkIDs": [],
    })
}

#[cfg(test)]
mod tests {
    use super::super::Api;
    use super::super::tests::{call, cluster, refused};
    use super::*;

    const NODE_A: &str = "iqn.2026-11.example:node-a";
    const NODE_B: &str = "iqn.2026-11.example:node-b";

    fn group(api: &Api, params: &Value) -> Value {
        call(api, "CreateVolumeAccessGroup", params)["volumeAccessGroup"].clone()
    }

    /// Who gets into a volume without CHAP.
    fn open_to(api: &Api, volume: i64) -> Vec<String> {
        api.cluster.with_state(|state| {
            let volume = state.volumes().find(|one| one.id == VolumeId(volume)).unwrap();
            volume.open_to.iter().cloned().collect()
        })
    }

    fn groups_of(api: &Api, volume: i64) -> Value {
        call(api, "ListVolumes", &json!({"volumeIDs": [volume]}))["volumes"][0]["volumeAccessGroups"].clone()
    }

    #[test]
    fn a_group_opens_its_volumes_to_its_initiators_and_to_nobody_else() {
        let api = cluster();
        let made = group(
            &api,
            &json!({"name": "g", "initiators": [NODE_A, "IQN.2026-11.example:Node-A"], "volumes": [1]}),
        );
        assert_eq!((&made["initiators"], &made["volumes"]), (&json!([NODE_A]), &json!([1])));
        assert_eq!((open_to(&api, 1), open_to(&api, 2)), (vec![NODE_A.to_owned()], vec![]));
        assert_eq!((groups_of(&api, 1), groups_of(&api, 2)), (json!([1]), json!([])));
        call(&api, "AddVolumesToVolumeAccessGroup", &json!({"volumeAccessGroupID": 1, "volumes": 2}));
        call(
            &api,
            "AddInitiatorsToVolumeAccessGroup",
            &json!({"volumeAccessGroupID": 1, "initiators": [NODE_B]}),
        );
        assert_eq!(open_to(&api, 2), [NODE_A, NODE_B]);
        let leave = json!({"volumeAccessGroupID": 1, "initiators": [NODE_A]});
        call(&api, "RemoveInitiatorsFromVolumeAccessGroup", &leave);
        call(&api, "RemoveVolumesFromVolumeAccessGroup", &json!({"volumeAccessGroupID": 1, "volumes": [1]}));
        assert_eq!((open_to(&api, 1), open_to(&api, 2)), (vec![], vec![NODE_B.to_owned()]));
        call(&api, "DeleteVolumeAccessGroup", &json!({"volumeAccessGroupID": 1}));
        assert_eq!((open_to(&api, 2), groups_of(&api, 2)), (vec![], json!([])));
        let known = call(&api, "ListInitiators", &json!({}));
        assert_eq!(known["initiators"].as_array().unwrap().len(), 2, "initiators outlive their group");
    }

    #[test]
    fn what_is_in_a_group_is_not_put_in_twice_and_what_is_not_is_not_taken_out() {
        let api = cluster();
        group(&api, &json!({"name": "g", "initiators": [NODE_A], "volumes": [1]}));
        group(&api, &json!({"name": "h"}));
        let both = |group: i64| json!({"volumeAccessGroupID": group, "volumes": [1], "initiators": [NODE_A]});
        for method in ["AddVolumesToVolumeAccessGroup", "AddInitiatorsToVolumeAccessGroup"] {
            assert_eq!(refused(&api, method, &both(1)), "xAlreadyInVolumeAccessGroup", "{method}");
            assert_eq!(refused(&api, method, &both(9)), "xVolumeAccessGroupIDDoesNotExist", "{method}");
        }
        for method in ["RemoveVolumesFromVolumeAccessGroup", "RemoveInitiatorsFromVolumeAccessGroup"] {
            assert_eq!(refused(&api, method, &both(2)), "xNotInVolumeAccessGroup", "{method}");
        }
        assert_eq!(
            refused(&api, "AddInitiatorsToVolumeAccessGroup", &both(2)),
            "xExceededLimit",
            "one group each"
        );
    }

    #[test]
    fn a_refused_change_leaves_no_part_of_it() {
        let api = cluster();
        group(&api, &json!({"name": "g", "volumes": [1]}));
        let before = call(&api, "ListVolumeAccessGroups", &json!({}));
        let bad =
            json!({"volumeAccessGroupID": 1, "name": "other", "initiators": [NODE_A, 77], "volumes": [1, 2]});
        assert_eq!(refused(&api, "ModifyVolumeAccessGroup", &bad), "xInitiatorDoesNotExist");
        let bad = json!({"name": "new", "initiators": [NODE_B], "volumes": [77]});
        assert_eq!(refused(&api, "CreateVolumeAccessGroup", &bad), "xVolumeIDDoesNotExist");
        assert_eq!(call(&api, "ListVolumeAccessGroups", &json!({})), before);
        assert_eq!(call(&api, "ListInitiators", &json!({}))["initiators"], json!([]));
        assert_eq!(open_to(&api, 2), [] as [&str; 0]);
    }

    #[test]
    fn a_groups_lists_are_replaced_as_a_whole() {
        let api = cluster();
        group(&api, &json!({"name": "g", "initiators": [NODE_A], "volumes": [1]}));
        let change =
            json!({"volumeAccessGroupID": 1, "initiators": [NODE_B], "volumes": [2], "attributes": {"a": 1}});
        let now = call(&api, "ModifyVolumeAccessGroup", &change)["volumeAccessGroup"].clone();
        assert_eq!(
            (&now["initiators"], &now["volumes"], &now["name"]),
            (&json!([NODE_B]), &json!([2]), &json!("g"))
        );
        assert_eq!((open_to(&api, 1), open_to(&api, 2)), (vec![], vec![NODE_B.to_owned()]));
        let none = json!({"volumeAccessGroupID": 1, "initiators": []});
        call(&api, "ModifyVolumeAccessGroup", &none);
        assert_eq!(open_to(&api, 2), [] as [&str; 0]);
    }

    #[test]
    fn initiators_are_made_changed_and_deleted_all_or_none() {
        let api = cluster();
        group(&api, &json!({"name": "g", "volumes": [1]}));
        let new = json!({"initiators": [{"name": NODE_A, "alias": "a", "volumeAccessGroupID": 1}, {"name": NODE_B}]});
        let made = call(&api, "CreateInitiators", &new);
        assert_eq!(made["initiators"][0]["volumeAccessGroups"], json!([1]));
        assert_eq!(open_to(&api, 1), [NODE_A]);
        let again =
            json!({"initiators": [{"name": "iqn.2026-11.example:c"}, {"name": NODE_B.to_uppercase()}]});
        assert_eq!(refused(&api, "CreateInitiators", &again), "xInitiatorExists");
        let out = json!({"initiators": [{"initiatorID": 1, "volumeAccessGroupID": null}, {"initiatorID": 2, "alias": "b"}]});
        let changed = call(&api, "ModifyInitiators", &out);
        assert_eq!(
            (&changed["initiators"][0]["volumeAccessGroups"], &changed["initiators"][1]["alias"]),
            (&json!([]), &json!("b"))
        );
        assert_eq!(open_to(&api, 1), [] as [&str; 0]);
        assert_eq!(
            refused(&api, "DeleteInitiators", &json!({"initiators": [1, 9]})),
            "xInitiatorDoesNotExist"
        );
        call(&api, "DeleteInitiators", &json!({"initiators": [1, 2]}));
        assert_eq!(call(&api, "ListInitiators", &json!({}))["initiators"], json!([]));
    }

    #[test]
    fn each_volume_of_a_group_has_a_lun_of_its_own_and_a_purged_one_is_gone() {
        let api = cluster();
        group(&api, &json!({"name": "g", "volumes": [1, 2]}));
        let luns = |params: &Value, method: &str| {
            call(&api, method, params)["volumeAccessGroupLunAssignments"]["lunAssignments"].clone()
        };
        let id = json!({"volumeAccessGroupID": 1});
        let first = luns(&id, "GetVolumeAccessGroupLunAssignments");
        assert_eq!(first, json!([{"volumeID": 1, "lun": 0}, {"volumeID": 2, "lun": 1}]));
        let same = json!({"volumeAccessGroupID": 1, "lunAssignments": [{"volumeID": 1, "lun": 1}]});
        assert_eq!(refused(&api, "ModifyVolumeAccessGroupLunAssignments", &same), "xInvalidParameter");
        let swap = json!({"volumeAccessGroupID": 1, "lunAssignments": [{"volumeID": 1, "lun": 1}, {"volumeID": 2, "lun": 0}]});
        let swapped = luns(&swap, "ModifyVolumeAccessGroupLunAssignments");
        assert_eq!(swapped, json!([{"volumeID": 1, "lun": 1}, {"volumeID": 2, "lun": 0}]));
        call(&api, "DeleteVolume", &json!({"volumeID": 1}));
        let listed = call(&api, "ListVolumeAccessGroups", &json!({}))["volumeAccessGroups"][0].clone();
        assert_eq!((&listed["volumes"], &listed["deletedVolumes"]), (&json!([2]), &json!([1])));
        call(&api, "PurgeDeletedVolume", &json!({"volumeID": 1}));
        let listed = call(&api, "ListVolumeAccessGroups", &json!({}))["volumeAccessGroups"][0].clone();
        assert_eq!(listed["deletedVolumes"], json!([]));
    }
}
