use super::*;
use crate::value;

const TABLE: &str = r##"{"format":1,"types":[
 {"n":"x.Inner","a":1,"f":[{"n":"s","s":"string","p":1,"z":1},{"n":"n","s":"int32","p":2,"e":1}],"w":[0,1]},
 {"n":"x.Outer","k":[["","v1","Outer"]],"f":[
   {"n":"inner","s":"#0","p":1,"z":1,"a":1},
   {"n":"list","s":"[]#0","p":2,"e":1,"l":"map","k":["s"],"ps":"merge,retainKeys","pk":"s"},
   {"n":"map","s":"{}Quantity","p":1,"x":1,"r":1}],"w":[0,1,[3,[2]]]}]}"##;

#[test]
fn tables_are_read() {
    let t = TypeTable::load(TABLE.as_bytes()).unwrap();
    let id = t.id("x.Outer").unwrap();
    assert_eq!(t.kind("", "v1", "Outer"), Some(id));
    let outer = t.get(id);
    let list = outer.field("list").unwrap();
    assert_eq!((list.list, list.patch, list.keys.len()), (ListType::Map, PatchStrategy::MergeRetainKeys, 1));
    assert_eq!(list.shape, Shape::List(Box::new(Shape::Struct(TypeId(0)))));
    assert!(outer.field("map").unwrap().pointer && outer.field("map").unwrap().required);
    assert_eq!(outer.wire[2], WireItem::Nested(3, vec![WireItem::Field(2)]));
    assert_eq!(Value::Map(t.zero_struct(id)), value!({"inner": {"s": ""}}));
}

#[test]
fn tables_are_extended_without_changing_ids() {
    let base = Arc::new(TypeTable::load(TABLE.as_bytes()).unwrap());
    let own = TypeId(base.len() as u32);
    let fields = vec![Field::new("again", Shape::Struct(own)), Field::new("inner", Shape::Struct(TypeId(0)))];
    let more = base.extend(vec![Type::new("example.com.v1.Thing", fields)]).unwrap();
    assert_eq!(more.id("example.com.v1.Thing"), Some(own));
    assert_eq!(more.get(TypeId(0)).name, "x.Inner");
    assert_eq!(more.id("x.Outer"), base.id("x.Outer"));
    assert_eq!(more.iter().count(), 3);
    assert!(base.extend(vec![Type::new("y", vec![Field::new("z", Shape::Struct(TypeId(9)))])]).is_err());
}

#[test]
fn damaged_tables_are_refused() {
    for bad in [
        "",
        "x",
        "{}",
        r#"{"format":2}"#,
        r##"{"format":1,"types":[{"n":"a","f":[{"n":"b","s":"#7"}]}]}"##,
        r#"{"format":1,"types":[{"n":"a","w":[0]}]}"#,
        r#"{"format":1,"types":[{"n":"a"},{"n":"a"}]}"#,
        r#"{"format":1,"types":[{"n":"a","f":[{"n":"b","s":"complex"}]}]}"#,
    ] {
        assert!(matches!(TypeTable::load(bad.as_bytes()), Err(Error::Table(_))), "{bad}");
    }
}
