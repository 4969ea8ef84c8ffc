//! Parameters as clients really send them: numbers in strings, booleans in strings, null for "not
//! given". Reading one takes it out, so what is left at the end are the `unusedParameters` of the answer.

use serde_json::{Map, Value};

use crate::state::ApiError;

/// The parameters of one call.
#[derive(Debug, Default)]
pub(super) struct Params(Map<String, Value>);

impl Params {
    /// Takes the `params` of a request; absent and null mean none.
    pub(super) fn parse(value: Option<Value>) -> Result<Self, ApiError> {
        match value {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Object(map)) => Ok(Self(map)),
            Some(_) => Err(ApiError::Malformed { reason: "`params` must be an object".into() }),
        }
    }

    /// The parameters of the GET form, all of them text.
    pub(super) fn from_pairs(pairs: impl Iterator<Item = (String, String)>) -> Self {
        Self(pairs.map(|(name, value)| (name, Value::String(value))).collect())
    }

    /// What nobody read.
    pub(super) fn into_unused(self) -> Map<String, Value> {
        self.0
    }

    /// A parameter as it was given, still to be read.
    pub(super) fn peek(&self, member: &str) -> Option<&Value> {
        self.0.get(member)
    }

    /// Drops a parameter unread.
    pub(super) fn drop(&mut self, member: &str) {
        self.0.shift_remove(member);
    }

    fn take(&mut self, member: &str) -> Option<Value> {
        self.0.shift_remove(member).filter(|value| !value.is_null())
    }

    /// Whether the parameter was given as null, for the few where that is not "not given".
    pub(super) fn take_null(&mut self, member: &str) -> bool {
        let null = self.0.get(member).is_some_and(Value::is_null);
        if null {
            self.0.shift_remove(member);
        }
        null
    }

    /// A whole number; also as text or as a float without fraction. Empty text means "not given".
    pub(super) fn find_integer(&mut self, member: &'static str) -> Result<Option<i64>, ApiError> {
        match self.take(member) {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(value) => integer(member, &value).map(Some),
        }
    }

    pub(super) fn require_integer(&mut self, member: &'static str) -> Result<i64, ApiError> {
        self.find_integer(member)?.ok_or(ApiError::MissingParameter { member })
    }

    /// A list of whole numbers; one number alone is a list of one, an empty list means "not given".
    pub(super) fn find_integers(&mut self, member: &'static str) -> Result<Option<Vec<i64>>, ApiError> {
        let items = match self.take(member) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(single) => vec![single],
        };
        let numbers = items.iter().map(|item| integer(member, item)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(numbers).filter(|numbers| !numbers.is_empty()))
    }

    /// A list of whatever; one value alone is a list of one.
    pub(super) fn find_values(&mut self, member: &'static str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(member) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(Value::Object(_)) => Err(wrong_type(member, "a list")),
            Some(single) => Ok(Some(vec![single])),
        }
    }

    /// A list of objects.
    pub(super) fn require_objects(&mut self, member: &'static str) -> Result<Vec<Params>, ApiError> {
        let items = match self.take(member) {
            None => return Err(ApiError::MissingParameter { member }),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(wrong_type(member, "a list of objects")),
        };
        let params = |item| match item {
            Value::Object(map) => Ok(Params(map)),
            _ => Err(wrong_type(member, "a list of objects")),
        };
        items.into_iter().map(params).collect()
    }

    /// Text; numbers and booleans are taken as their JSON text.
    pub(super) fn find_text(&mut self, member: &'static str) -> Result<Option<String>, ApiError> {
        match self.take(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(_) => Err(wrong_type(member, "a string")),
        }
    }

    pub(super) fn require_text(&mut self, member: &'static str) -> Result<String, ApiError> {
        self.find_text(member)?.ok_or(ApiError::MissingParameter { member })
    }

    /// A truth value; also `"true"`, `"false"`, 1 and 0.
    pub(super) fn find_flag(&mut self, member: &'static str) -> Result<Option<bool>, ApiError> {
        match self.take(member) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(Some(true)),
                "false" | "0" => Ok(Some(false)),
                "" => Ok(None),
                _ => Err(wrong_type(member, "true or false")),
            },
            Some(Value::Number(number)) if number.as_i64() == Some(1) => Ok(Some(true)),
            Some(Value::Number(number)) if number.as_i64() == Some(0) => Ok(Some(false)),
            Some(_) => Err(wrong_type(member, "true or false")),
        }
    }

    /// An object; empty text means "not given".
    pub(super) fn find_object(
        &mut self,
        member: &'static str,
    ) -> Result<Option<Map<String, Value>>, ApiError> {
        match self.take(member) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(_) => Err(wrong_type(member, "an object")),
        }
    }

    /// The parameters inside an object parameter. Those left in it are ignored, not reported.
    pub(super) fn find_nested(&mut self, member: &'static str) -> Result<Params, ApiError> {
        Ok(Params(self.find_object(member)?.unwrap_or_default()))
    }
}

pub(super) fn integer(member: &str, value: &Value) -> Result<i64, ApiError> {
    let number = match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
        }
        _ => None,
    };
    number.ok_or_else(|| wrong_type(member, "an integer"))
}

/// A float without fraction; what does not fit is the nearest bound, which every range check refuses.
fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    (number.fract() == 0.0).then_some(number as i64)
}

fn wrong_type(member: &str, expected: &'static str) -> ApiError {
    ApiError::ParameterType { member: member.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(value: Value) -> Params {
        Params::parse(Some(value)).unwrap()
    }

    #[test]
    fn numbers_come_as_numbers_as_text_and_as_floats() {
        let mut given = params(json!({"a": 12, "b": "12", "c": 12.0, "d": null, "e": ""}));
        for member in ["a", "b", "c"] {
            assert_eq!(given.find_integer(member).unwrap(), Some(12), "{member}");
        }
        assert_eq!(given.find_integer("d").unwrap(), None);
        assert_eq!(given.find_integer("e").unwrap(), None);
    }

    #[test]
    fn what_is_no_number_says_which_parameter_it_was() {
        for bad in [json!("twelve"), json!(1.5), json!([1]), json!({}), json!(true)] {
            let error = params(json!({"volumeID": bad})).find_integer("volumeID").unwrap_err();
            assert_eq!(error.to_string(), "volumeID: expected an integer");
            assert_eq!(error.name(), "xInvalidParameterType");
        }
    }

    #[test]
    fn a_number_beyond_all_bounds_does_not_wrap() {
        let mut given =
            params(json!({"a": 1e300, "b": "-99999999999999999999", "c": 18446744073709551615u64}));
        assert_eq!(given.find_integer("a").unwrap(), Some(i64::MAX));
        assert_eq!(given.find_integer("b").unwrap(), Some(i64::MIN));
        assert_eq!(given.find_integer("c").unwrap(), Some(i64::MAX));
    }

    #[test]
    fn truth_comes_as_text_too() {
        let mut given = params(json!({"a": true, "b": "False", "c": 1, "d": "true", "e": "yes"}));
        assert_eq!(given.find_flag("a").unwrap(), Some(true));
        assert_eq!(given.find_flag("b").unwrap(), Some(false));
        assert_eq!(given.find_flag("c").unwrap(), Some(true));
        assert_eq!(given.find_flag("d").unwrap(), Some(true));
        assert!(given.find_flag("e").is_err());
    }

    #[test]
    fn one_number_is_a_list_of_one_and_an_empty_list_is_none() {
        let mut given = params(json!({"a": 3, "b": ["1", 2], "c": []}));
        assert_eq!(given.find_integers("a").unwrap(), Some(vec![3]));
        assert_eq!(given.find_integers("b").unwrap(), Some(vec![1, 2]));
        assert_eq!(given.find_integers("c").unwrap(), None);
    }

    #[test]
    fn a_null_parameter_is_a_missing_one() {
        let error = params(json!({"totalSize": null})).require_integer("totalSize").unwrap_err();
        assert_eq!(
            (error.name(), error.to_string().as_str()),
            ("xMissingParameter", "Missing member=[totalSize]")
        );
    }

    #[test]
    fn what_nobody_read_is_left() {
        let mut given = params(json!({"a": 1, "sliceCount": 1}));
        given.find_integer("a").unwrap();
        assert_eq!(Value::Object(given.into_unused()), json!({"sliceCount": 1}));
    }
}
