//! From a [`Value`] to any type of serde, with the place of what does not fit.

use super::{BadValue, Value};
use serde::{
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
        SeqAccess, VariantAccess, Visitor,
    },
    forward_to_deserialize_any,
};

/// A value, as that type.
///
/// # Errors
/// It is not what the type takes; the error says where.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, BadValue> {
    T::deserialize(FromValue(value))
}

struct FromValue(Value);

impl<'de> Deserializer<'de> for FromValue {
    type Error = BadValue;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        match self.0 {
            Value::Nothing => visitor.visit_unit(),
            Value::Boolean(value) => visitor.visit_bool(value),
            // Types take the widths of serde that they know; 128 bits are the last resort.
            Value::Integer(number) => match (u64::try_from(number), i64::try_from(number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_i128(number),
            },
            Value::Float(number) => visitor.visit_f64(number),
            Value::String(text) => visitor.visit_string(text),
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Value::List(items) => {
                let mut items = Items {
                    items: items.into_iter(),
                    next: 0,
                };
                let made = visitor.visit_seq(&mut items)?;
                match items.items.len() {
                    0 => Ok(made),
                    _ => Err(BadValue::new(format_args!(
                        "expected {} items, found {}",
                        items.next,
                        items.next + items.items.len()
                    ))),
                }
            }
            Value::Record(fields) => visitor.visit_map(Fields {
                fields: fields.into_iter(),
                value: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        match self.0 {
            Value::Nothing => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, BadValue> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BadValue> {
        match self.0 {
            Value::String(variant) => visitor.visit_enum(Variant {
                variant,
                value: None,
            }),
            Value::Record(fields) if fields.len() == 1 => {
                let mut fields = fields;
                let (variant, value) = fields.remove(0);
                let value = Some(value);
                visitor.visit_enum(Variant { variant, value })
            }
            other => Err(BadValue::new(format_args!(
                "expected the name of a variant, or a record of one; found {}",
                other.described()
            ))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// What is left of a list.
struct Items {
    items: std::vec::IntoIter<Value>,
    /// The place of the next one.
    next: usize,
}

impl<'de> SeqAccess<'de> for &mut Items {
    type Error = BadValue;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, BadValue> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let place = self.next;
        self.next += 1;
        let read = seed.deserialize(FromValue(item));
        read.map(Some)
            .map_err(|bad| bad.inside(&format_args!("[{place}]")))
    }
}

/// What is left of a record.
struct Fields {
    fields: std::vec::IntoIter<(String, Value)>,
    /// Of the name that was just given out.
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = BadValue;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, BadValue> {
        let Some((name, value)) = self.fields.next() else {
            return Ok(None);
        };
        let key = seed.deserialize(Key(name.clone()))?;
        self.value = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, BadValue> {
        let (name, value) = self.value.take().ok_or_else(|| BadValue::new("no name"))?;
        let read = seed.deserialize(FromValue(value));
        read.map_err(|bad| bad.inside(&format_args!(".{name}")))
    }
}

/// The name of a field; what has numbers or booleans for keys reads them out of it.
struct Key(String);

impl<'de> Deserializer<'de> for Key {
    type Error = BadValue;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        visitor.visit_string(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, BadValue> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BadValue> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        match self.0.parse() {
            Ok(value) => visitor.visit_bool(value),
            Err(_) => visitor.visit_string(self.0),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        match self.0.parse() {
            Ok(number) => visitor.visit_i64(number),
            Err(_) => visitor.visit_string(self.0),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        match self.0.parse() {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => visitor.visit_string(self.0),
        }
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BadValue> {
        self.deserialize_u64(visitor)
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// One variant of an enum.
struct Variant {
    variant: String,
    value: Option<Value>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = BadValue;
    type Variant = Content;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content), BadValue> {
        let name = seed.deserialize(Key(self.variant.clone()))?;
        Ok((name, Content(self.variant, self.value)))
    }
}

/// What a variant holds.
struct Content(String, Option<Value>);

impl Content {
    fn read<'de, T>(
        self,
        read: impl FnOnce(FromValue) -> Result<T, BadValue>,
    ) -> Result<T, BadValue>
    where
        FromValue: Deserializer<'de>,
    {
        let Self(name, value) = self;
        let value = value.unwrap_or(Value::Nothing);
        read(FromValue(value)).map_err(|bad| bad.inside(&format_args!(".{name}")))
    }
}

impl<'de> VariantAccess<'de> for Content {
    type Error = BadValue;

    fn unit_variant(self) -> Result<(), BadValue> {
        match self.1 {
            None | Some(Value::Nothing) => Ok(()),
            Some(other) => Err(BadValue::new(format_args!(
                "`{}` holds nothing; found {}",
                self.0,
                other.described()
            ))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, BadValue> {
        self.read(|value| seed.deserialize(value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, BadValue> {
        self.read(|value| value.deserialize_any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BadValue> {
        self.read(|value| value.deserialize_any(visitor))
    }
}
