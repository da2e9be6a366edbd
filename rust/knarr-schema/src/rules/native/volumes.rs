//! Mounts and devices of a container: they name volumes of its pod. The running group's root is the container, its caller's the PodSpec.

use super::super::{NULL, Scope};
use super::{list, text};
use crate::error::FieldError;
use crate::formats;
use crate::path::Path;
use knarr_value::Value;
use std::collections::BTreeSet;

fn messages(format: &str, value: &str, path: String, errors: &mut Vec<FieldError>) {
    for message in formats::by_name(format).map(|f| f(value)).unwrap_or_default() {
        errors.push(FieldError::invalid(path.clone(), value, message));
    }
}

fn pod_volumes<'a>(scope: &Scope<'a>) -> &'a [Value] {
    list(scope.frame.parent.map_or(&NULL, |f| f.value), "volumes")
}

pub fn mounts(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let volumes = pod_volumes(scope);
    let container = scope.frame.value;
    let devices = list(container, "volumeDevices");
    let volumes: BTreeSet<&str> = volumes.iter().map(|volume| text(volume, "name")).collect();
    let mut paths = BTreeSet::new();
    for (index, mount) in scope.value.as_list().unwrap_or(&[]).iter().enumerate() {
        let place = scope.path.index(index);
        let (name, mount_path) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(place.child("name"), ""));
        }
        if !volumes.contains(name) {
            errors.push(FieldError::not_found(place.child("name"), name));
        }
        if mount_path.is_empty() {
            errors.push(FieldError::required(place.child("mountPath"), ""));
        }
        if !paths.insert(mount_path) {
            errors.push(FieldError::invalid(place.child("mountPath"), mount_path, "must be unique"));
        }
        if devices.iter().any(|d| text(d, "name") == name) {
            errors.push(FieldError::invalid(place.child("name"), name, "must not already exist in volumeDevices"));
        }
        if devices.iter().any(|d| text(d, "devicePath") == mount_path) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(place.child("mountPath"), mount_path, detail));
        }
        let (sub, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
        if !sub.is_empty() {
            // Kubernetes reports these at the list, not at the mount.
            messages("localDescendingPath", sub, scope.path.child("subPath"), errors);
        }
        if !expression.is_empty() {
            if !sub.is_empty() {
                let detail = "subPathExpr and subPath are mutually exclusive";
                errors.push(FieldError::invalid(place.child("subPathExpr"), expression, detail));
            }
            messages("localDescendingPath", expression, scope.path.child("subPathExpr"), errors);
        }
        if let Some(mode) = mount.get("mountPropagation").and_then(Value::as_str) {
            propagation(mode, container, &scope.path.field("mountPropagation"), errors);
        }
        recursive_read_only(mount, &scope.path.field("recursiveReadOnly"), errors);
    }
}

fn propagation(mode: &str, container: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let modes = ["Bidirectional", "HostToContainer", "None"];
    if !modes.contains(&mode) {
        errors.push(FieldError::not_supported(path.text(), mode, &modes));
    }
    let privileged = container.path(&["securityContext", "privileged"]).and_then(Value::as_bool) == Some(true);
    if mode == "Bidirectional" && !privileged {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(path.text(), detail));
    }
}

fn recursive_read_only(mount: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mode = match mount.get("recursiveReadOnly").and_then(Value::as_str) {
        None | Some("Disabled") => return,
        Some(mode) => mode,
    };
    if !matches!(mode, "Enabled" | "IfPossible") {
        errors.push(FieldError::not_supported(path.text(), mode, &["Disabled", "Enabled", "IfPossible"]));
        return;
    }
    if mount.get("readOnly").and_then(Value::as_bool) != Some(true) {
        errors.push(FieldError::forbidden(path.text(), "may only be specified when readOnly is true"));
    }
    if !matches!(text(mount, "mountPropagation"), "" | "None") {
        let detail = "may only be specified when mountPropagation is None or not specified";
        errors.push(FieldError::forbidden(path.text(), detail));
    }
}

pub fn devices(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let volumes = pod_volumes(scope);
    let mounts = list(scope.frame.value, "volumeMounts");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (index, device) in scope.value.as_list().unwrap_or(&[]).iter().enumerate() {
        let place = scope.path.index(index);
        let (name, path) = (text(device, "name"), text(device, "devicePath"));
        let volume = volumes.iter().find(|v| text(v, "name") == name);
        if name.is_empty() {
            errors.push(FieldError::required(place.child("name"), ""));
        }
        if !names.insert(name) {
            errors.push(FieldError::invalid(place.child("name"), name, "must be unique"));
        }
        match volume {
            None => errors.push(FieldError::not_found(place.child("name"), name)),
            Some(volume) if volume.get("persistentVolumeClaim").is_none() && volume.get("ephemeral").is_none() => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(FieldError::invalid(place.child("name"), name, detail));
            }
            Some(_) => {}
        }
        if path.is_empty() {
            errors.push(FieldError::required(place.child("devicePath"), ""));
        }
        if !path.is_empty() && !paths.insert(path) {
            errors.push(FieldError::invalid(place.child("devicePath"), path, "must be unique"));
        }
        if !path.is_empty() {
            messages("noBacksteps", path, place.child("devicePath"), errors);
        }
        if mounts.iter().any(|m| text(m, "name") == name) {
            errors.push(FieldError::invalid(place.child("name"), name, "must not already exist in volumeMounts"));
        }
        if mounts.iter().any(|m| text(m, "mountPath") == path) {
            let detail = "must not already exist as a path in volumeMounts";
            errors.push(FieldError::invalid(place.child("devicePath"), path, detail));
        }
    }
}

/// At a downward volume or projection: each file has a path and one source. Errors name the volume's source, not the file.
pub fn downward_files(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    for file in list(scope.value, "items") {
        let here = Scope { value: file, old: None, ..*scope };
        let path = text(file, "path");
        if path.is_empty() {
            errors.push(FieldError::required(scope.path.child("path"), ""));
        }
        messages("nonReservedPath", path, scope.path.child("path"), errors);
        match (file.get("fieldRef"), file.get("resourceFieldRef")) {
            (Some(field), resource) => {
                let place = scope.path.field("fieldRef");
                super::references::volume_field(&Scope { value: field, path: &place, ..here }, errors);
                if resource.is_some() {
                    let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    errors.push(FieldError::invalid(scope.path.text(), "resource", detail));
                }
            }
            (None, Some(resource)) => {
                let place = scope.path.field("resourceFieldRef");
                super::references::volume_resource(&Scope { value: resource, path: &place, ..here }, errors);
            }
            (None, None) => {
                let detail = "one of fieldRef and resourceFieldRef is required";
                errors.push(FieldError::required(scope.path.text(), detail));
            }
        }
        if let Some(mode) = file.get("mode").and_then(Value::as_i64).filter(|mode| !(0..=0o777).contains(mode)) {
            let detail = "must be a number between 0 and 0777 (octal), both inclusive";
            errors.push(FieldError::invalid(scope.path.child("mode"), Value::Int(mode), detail));
        }
    }
}

/// At a projected volume: no two sources write one path; a token has one.
pub fn projected_paths(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for source in list(scope.value, "sources") {
        for field in ["secret", "configMap", "downwardAPI"] {
            let Some(projection) = source.get(field) else { continue };
            for item in list(projection, "items") {
                let path = text(item, "path");
                if !path.is_empty() && !seen.insert(path) {
                    let shown = if field == "downwardAPI" { path } else { text(projection, "name") };
                    errors.push(FieldError::invalid(scope.path.text(), shown, "conflicting duplicate paths"));
                }
            }
        }
        if let Some(token) = source.get("serviceAccountToken") {
            let path = text(token, "path");
            if path.is_empty() {
                errors.push(FieldError::required(scope.path.child("path"), ""));
            }
            messages("nonReservedPath", path, scope.path.child("path"), errors);
        }
        if let Some(bundle) = source.get("clusterTrustBundle") {
            let path = text(bundle, "path");
            if !seen.insert(path) {
                errors.push(FieldError::invalid(scope.path.text(), path, "conflicting duplicate paths"));
            }
        }
    }
}
