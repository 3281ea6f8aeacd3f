//! A list as one text with commas between.

use serde::{Deserialize, Deserializer, Serializer};

pub fn deserialize<'de, D: Deserializer<'de>>(text: D) -> Result<Vec<String>, D::Error> {
    Ok(String::deserialize(text)?.split(',').map(|part| part.trim().to_owned()).collect())
}

pub fn serialize<S: Serializer>(list: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&list.join(", "))
}
