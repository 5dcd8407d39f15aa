//! From any type of serde to a [`Value`], and from a [`Value`] to any format.

use super::{BadValue, Value, blob};
use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// A value of any type.
///
/// # Errors
/// The type cannot be one: its map has keys that are neither texts nor numbers, or a number is beyond 127 bits.
pub fn to_value<T: Serialize + ?Sized>(it: &T) -> Result<Value, BadValue> {
    it.serialize(ToValue)
}

/// As the format has it; bytes are base64 in formats that people read.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_none(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Integer(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => serializer.serialize_i64(number),
                (_, Ok(number)) => serializer.serialize_u64(number),
                _ => serializer.serialize_i128(*number),
            },
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::String(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) if serializer.is_human_readable() => {
                serializer.serialize_str(&blob::encoded(bytes))
            }
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(items) => serializer.collect_seq(items),
            Self::Record(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

struct ToValue;

type Made = Result<Value, BadValue>;

impl Serializer for ToValue {
    type Ok = Value;
    type Error = BadValue;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Made {
        Ok(Value::Boolean(value))
    }

    fn serialize_i8(self, number: i8) -> Made {
        Ok(Value::Integer(number.into()))
    }

    fn serialize_i16(self, number: i16) -> Made {
        Ok(Value::Integer(number.into()))
    }

    fn serialize_i32(self, number: i32) -> Made {
        Ok(Value::Integer(number.into()))
    }

    fn serialize_i64(self, number: i64) -> Made {
        Ok(Value::Integer(number.into()))
    }

    fn serialize_i128(self, number: i128) -> Made {
        Ok(Value::Integer(number))
    }

    fn serialize_u8(self, number: u8) -> Made {
        Ok(Value::Integer(number.into()))
    }

    fn serialize_u16(self, number: u16) -> Made {
        Ok(Value::Integer(number.into()))
    }

    fn serialize_u32(self, number: u32) -> Made {
        Ok(Value::Integer(number.into()))
    }

    fn serialize_u64(self, number: u64) -> Made {
        Ok(Value::Integer(number.into()))
    }

    fn serialize_u128(self, number: u128) -> Made {
        let number = i128::try_from(number);
        number
            .map(Value::Integer)
            .map_err(|_| BadValue::new("an integer beyond 127 bits"))
    }

    fn serialize_f32(self, number: f32) -> Made {
        Ok(Value::Float(number.into()))
    }

    fn serialize_f64(self, number: f64) -> Made {
        Ok(Value::Float(number))
    }

    fn serialize_char(self, character: char) -> Made {
        Ok(Value::String(character.into()))
    }

    fn serialize_str(self, text: &str) -> Made {
        Ok(text.into())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Made {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn serialize_none(self) -> Made {
        Ok(Value::Nothing)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Made {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Made {
        Ok(Value::Nothing)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Made {
        Ok(Value::Nothing)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Made {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Made {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Made {
        Ok(tagged(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, BadValue> {
        Ok(Items::default())
    }

    fn serialize_tuple(self, _: usize) -> Result<Items, BadValue> {
        Ok(Items::default())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items, BadValue> {
        Ok(Items::default())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items, BadValue> {
        let variant = Some(variant);
        let items = Vec::new();
        Ok(Items { variant, items })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Fields, BadValue> {
        Ok(Fields::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields, BadValue> {
        Ok(Fields::default())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields, BadValue> {
        let variant = Some(variant);
        Ok(Fields {
            variant,
            ..Fields::default()
        })
    }
}

fn tagged(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        None => value,
        Some(variant) => Value::Record(vec![(variant.to_owned(), value)]),
    }
}

/// A list that grows.
#[derive(Default)]
struct Items {
    variant: Option<&'static str>,
    items: Vec<Value>,
}

impl Items {
    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), BadValue> {
        let place = self.items.len();
        let item = item.serialize(ToValue);
        let item = item.map_err(|bad| bad.inside(&format_args!("[{place}]")))?;
        self.items.push(item);
        Ok(())
    }

    fn made(self) -> Made {
        Ok(tagged(self.variant, Value::List(self.items)))
    }
}

impl SerializeSeq for Items {
    type Ok = Value;
    type Error = BadValue;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), BadValue> {
        self.push(item)
    }

    fn end(self) -> Made {
        self.made()
    }
}

impl SerializeTuple for Items {
    type Ok = Value;
    type Error = BadValue;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), BadValue> {
        self.push(item)
    }

    fn end(self) -> Made {
        self.made()
    }
}

impl SerializeTupleStruct for Items {
    type Ok = Value;
    type Error = BadValue;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), BadValue> {
        self.push(item)
    }

    fn end(self) -> Made {
        self.made()
    }
}

impl SerializeTupleVariant for Items {
    type Ok = Value;
    type Error = BadValue;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), BadValue> {
        self.push(item)
    }

    fn end(self) -> Made {
        self.made()
    }
}

/// A record that grows.
#[derive(Default)]
struct Fields {
    variant: Option<&'static str>,
    fields: Vec<(String, Value)>,
    /// Of the value that comes next.
    name: String,
}

impl Fields {
    fn push<T: Serialize + ?Sized>(&mut self, name: String, value: &T) -> Result<(), BadValue> {
        let value = value.serialize(ToValue);
        let value = value.map_err(|bad| bad.inside(&format_args!(".{name}")))?;
        self.fields.push((name, value));
        Ok(())
    }

    fn made(self) -> Made {
        Ok(tagged(self.variant, Value::Record(self.fields)))
    }
}

impl SerializeMap for Fields {
    type Ok = Value;
    type Error = BadValue;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), BadValue> {
        self.name = match key.serialize(ToValue)? {
            Value::String(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Boolean(value) => value.to_string(),
            other => {
                let message = format!("a key is {}, expected a text", other.described());
                return Err(BadValue::new(message));
            }
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BadValue> {
        let name = std::mem::take(&mut self.name);
        self.push(name, value)
    }

    fn end(self) -> Made {
        self.made()
    }
}

impl SerializeStruct for Fields {
    type Ok = Value;
    type Error = BadValue;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), BadValue> {
        self.push(name.to_owned(), value)
    }

    fn end(self) -> Made {
        self.made()
    }
}

impl SerializeStructVariant for Fields {
    type Ok = Value;
    type Error = BadValue;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), BadValue> {
        self.push(name.to_owned(), value)
    }

    fn end(self) -> Made {
        self.made()
    }
}
