//! Types there and back; what does not fit, and where; texts of a format as values.

use super::*;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
struct Person {
    name: String,
    age: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Box(i32, i32),
    Text { text: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
struct Wrapped(Vec<Shape>);

fn there_and_back<T: Serialize + serde::de::DeserializeOwned + PartialEq + fmt::Debug>(it: T) {
    let value = to_value(&it).unwrap();
    assert_eq!(from_value(value.clone()), Ok(it), "{value:?}");
}

#[test]
fn values_come_back_as_they_went() {
    there_and_back(());
    there_and_back(true);
    there_and_back("ä".to_owned());
    there_and_back('ä');
    there_and_back((i8::MIN, i64::MIN, u64::MAX, i128::MIN, -1_i16));
    there_and_back((0.5_f32, f64::MAX));
    there_and_back(Some("a".to_owned()));
    there_and_back(None::<String>);
    there_and_back(vec![Some(vec!["a".to_owned()]), None]);
    there_and_back(Blob(vec![0, 255]));
    let age = Some(3);
    there_and_back(Person {
        name: "a".into(),
        age,
    });
    there_and_back(BTreeMap::from([(3_u8, true)]));
    there_and_back(BTreeMap::from([(true, -3_i64)]));
    there_and_back(Wrapped(vec![
        Shape::Point,
        Shape::Circle(1.5),
        Shape::Box(1, -2),
        Shape::Text { text: "t".into() },
    ]));
}

#[test]
fn what_does_not_fit_says_where() {
    #[track_caller]
    fn wrong<T: serde::de::DeserializeOwned + fmt::Debug>(json: &str, expect: &str) {
        let value = serde_json::from_str(json).unwrap();
        let error = from_value::<T>(value).unwrap_err().to_string();
        assert_eq!(error, expect, "{json}");
    }
    wrong::<String>("3", "invalid type: integer `3`, expected a string");
    wrong::<u32>("-1", "invalid value: integer `-1`, expected u32");
    wrong::<Vec<Person>>(
        r#"[{"name":"a"},{"name":"b","age":300}]"#,
        "`[1].age`: invalid value: integer `300`, expected u8",
    );
    wrong::<Person>(r#"{"age":3}"#, "missing field `name`");
    wrong::<(u8, u8)>("[1,2,3]", "expected 2 items, found 3");
    wrong::<Shape>(
        r#"{"Box":[1]}"#,
        "`Box`: invalid length 1, expected tuple variant Shape::Box with 2 elements",
    );
    wrong::<Shape>(
        "7",
        "expected the name of a variant, or a record of one; found the integer 7",
    );
    wrong::<Blob>("\"=\"", "expected base64: Invalid symbol 61, offset 0.");
}

#[test]
fn formats_give_values_and_take_them() {
    let text = r#"{"a":[1,-2,18446744073709551615,0.5,null,true,"x"],"b":{}}"#;
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(value.depth(), 2);
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
    let bytes = Value::Bytes(vec![1, 2, 3]);
    assert_eq!(serde_json::to_string(&bytes).unwrap(), "\"AQID\"");
    assert_eq!(from_value("AQID".into()), Ok(Blob(vec![1, 2, 3])));
    let twice = serde_json::from_str::<Value>(r#"{"a":1,"a":2}"#).unwrap_err();
    assert!(twice.to_string().starts_with("`a` comes twice"), "{twice}");
}

#[test]
fn a_value_that_no_protocol_could_name_is_refused() {
    let odd = BTreeMap::from([(vec![1], 2)]);
    let error = to_value(&vec![odd]).unwrap_err();
    assert_eq!(error.to_string(), "`[0]`: a key is a list, expected a text");
    assert!(to_value(&u128::MAX).is_err());
}
