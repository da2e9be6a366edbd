//! Goal: rows read as kube-apiserver's. Method: recorded Table answers with their objects (testdata/tables.json, made by
//! testdata/record_tables.py) are computed again with the columns of testdata/columns.json.

use std::collections::BTreeMap;

use knarr_value::json;
use proptest::prelude::*;

use super::*;

fn columns_by_kind() -> BTreeMap<String, Vec<ColumnDoc>> {
    serde_json::from_str(include_str!("../../testdata/columns.json")).expect("columns")
}

#[test]
fn recorded_tables_of_kubernetes() {
    let columns = columns_by_kind();
    let tables = json::parse(include_bytes!("../../testdata/tables.json")).expect("JSON").value;
    let mut rows = 0;
    let mut wrong = Vec::new();
    for (kind, table) in tables.as_map().expect("tables") {
        let now = WallTime(table.get("now").and_then(Value::as_i64).expect("a time"));
        for row in table.get("rows").and_then(Value::as_list).expect("rows") {
            let [theirs, object] = row.as_list().expect("a pair") else { panic!("not a pair") };
            let mine = cells_of(&columns[kind.as_str()], object, now);
            rows += 1;
            let (mine, theirs) = (Value::List(mine), theirs.clone());
            // The clock may have ticked between the answer and the recorded time.
            let later = Value::List(cells_of(&columns[kind.as_str()], object, WallTime(now.0 + 1_000_000)));
            if mine != theirs && later != theirs {
                wrong.push(format!("{kind}: mine {mine}\n       theirs {theirs}"));
            }
        }
    }
    assert!(rows > 40, "only {rows} rows were recorded");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for kind in columns.keys() {
        assert!(tables.get(kind).is_some(), "{kind} was not recorded");
    }
}

#[test]
fn every_named_cell_exists_and_takes_anything() {
    let odd =
        [Value::Null, Value::from("x"), json::parse(br#"{"spec":[],"status":{"conditions":{}}}"#).expect("JSON").value];
    for (kind, columns) in columns_by_kind() {
        for column in &columns {
            assert!(column.cell.is_empty() || cell(&column.cell).is_some(), "{kind}: no cell {}", column.cell);
        }
        for object in &odd {
            assert_eq!(cells_of(&columns, object, WallTime(0)).len(), columns.len());
        }
    }
    assert!(cell("nonsense").is_none());
}

#[test]
fn a_kind_without_columns() {
    let object =
        json::parse(br#"{"metadata":{"name":"n","creationTimestamp":"2024-01-01T00:00:00Z"}}"#).expect("JSON").value;
    let definitions = columns_of(&[]);
    let names: Vec<_> = definitions.iter().map(|c| c.str_at(&["name"])).collect();
    assert_eq!(names, ["Name", "Created At"]);
    assert_eq!(cells_of(&[], &object, WallTime(0)), [Value::from("n"), Value::from("2024-01-01T00:00:00Z")]);
}

#[test]
fn durations_read_as_in_kubernetes() {
    let (minute, hour, day) = (60, 3600, 86_400);
    let cases = [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (2 * minute, "2m"),
        (2 * minute + 1, "2m1s"),
        (10 * minute - 1, "9m59s"),
        (10 * minute + 59, "10m"),
        (3 * hour - 1, "179m"),
        (3 * hour, "3h"),
        (3 * hour + minute, "3h1m"),
        (8 * hour, "8h"),
        (2 * day - 1, "47h"),
        (2 * day, "2d"),
        (2 * day + hour, "2d1h"),
        (8 * day - 1, "7d23h"),
        (8 * day, "8d"),
        (730 * day - 1, "729d"),
        (730 * day, "2y"),
        (731 * day, "2y1d"),
        (8 * 365 * day, "8y"),
    ];
    for (seconds, text) in cases {
        assert_eq!(human_duration(seconds), text, "{seconds} seconds");
    }
}

proptest! {
    #[test]
    fn any_duration_has_a_text(seconds in any::<i32>()) {
        let text = human_duration(i64::from(seconds));
        prop_assert!(!text.is_empty() && text.len() < 12);
    }
}
