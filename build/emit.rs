//! A serde serializer that writes a value as a Rust expression. The build script's alone.
//!
//! Fits the types of `rule`: lists and text become borrowed `Cow`s, so that a static holds them.

use serde::ser::{self, Serialize};
use std::fmt;

/// The expression for a list of values, as a slice.
pub(super) fn rust<T: Serialize>(values: &[T]) -> Result<String, Error> {
    let mut out = Emit(String::from("&["));
    for value in values {
        value.serialize(&mut out)?;
        out.0.push(',');
    }
    out.0.push(']');
    Ok(out.0)
}

/// A type that rules do not use.
#[derive(Debug)]
pub(super) struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

struct Emit(String);

/// `kebab-case` as serde shows a variant, back to its name in Rust.
fn variant_name(shown: &str) -> String {
    shown
        .split('-')
        .map(|part| {
            let (first, rest) = part.split_at(part.len().min(1));
            first.to_uppercase() + rest
        })
        .collect()
}

macro_rules! plain {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<(), Error> {
            self.0 += &format!("{value:?}");
            Ok(())
        })*
    };
}

macro_rules! unused {
    ($($method:ident($($type:ty),*) -> $out:ty;)*) => {
        $(fn $method(self, $(_: $type),*) -> Result<$out, Error> {
            Err(ser::Error::custom(concat!("rules have no ", stringify!($method))))
        })*
    };
}

impl<'a> ser::Serializer for &'a mut Emit {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Sequence<'a>;
    type SerializeTuple = Sequence<'a>;
    type SerializeTupleStruct = ser::Impossible<(), Error>;
    type SerializeTupleVariant = ser::Impossible<(), Error>;
    type SerializeMap = ser::Impossible<(), Error>;
    type SerializeStruct = Sequence<'a>;
    type SerializeStructVariant = ser::Impossible<(), Error>;

    plain!(serialize_bool: bool, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_f32: f32, serialize_f64: f64, serialize_char: char);

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.0 += &format!("Cow::Borrowed({value:?})");
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.0 += "None";
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.0 += "Some(";
        value.serialize(&mut *self)?;
        self.0.push(')');
        Ok(())
    }

    fn serialize_unit_variant(self, name: &str, _: u32, variant: &str) -> Result<(), Error> {
        self.0 += &format!("{name}::{}", variant_name(variant));
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Sequence<'a>, Error> {
        self.0 += "Cow::Borrowed(&[";
        Ok(Sequence(self, "])"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Sequence<'a>, Error> {
        self.0.push('(');
        Ok(Sequence(self, ")"))
    }

    fn serialize_struct(self, name: &str, _: usize) -> Result<Sequence<'a>, Error> {
        self.0 += &format!("{name} {{");
        Ok(Sequence(self, "}"))
    }

    unused! {
        serialize_bytes(&[u8]) -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeStructVariant;
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &str,
        _: &T,
    ) -> Result<(), Error> {
        Err(ser::Error::custom(format!("rules have no `{name}`")))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &str,
        _: u32,
        _: &str,
        _: &T,
    ) -> Result<(), Error> {
        Err(ser::Error::custom(format!("rules have no `{name}`")))
    }
}

/// An expression that has begun, and how it ends.
struct Sequence<'a>(&'a mut Emit, &'static str);

impl Sequence<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Error> {
        self.0.0 += key;
        value.serialize(&mut *self.0)?;
        self.0.0.push(',');
        Ok(())
    }

    fn close(self) -> Result<(), Error> {
        self.0.0 += self.1;
        Ok(())
    }
}

impl ser::SerializeSeq for Sequence<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element("", value)
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeTuple for Sequence<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element("", value)
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeStruct for Sequence<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.element(&format!("{key}: "), value)
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}
