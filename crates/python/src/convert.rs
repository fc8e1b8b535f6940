//! Python's plain data as JSON and back. What JSON cannot hold is refused by its place (`params.items[3]`).

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::Write as _;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use serde_json::{Map, Number, Value};

use crate::errors;

/// Data nested deeper than this is refused.
const DEEPEST: usize = 100;
/// Data of more values than this is refused. Lists that share lists can stand for more than any memory holds.
const MOST_VALUES: usize = 1_000_000;
/// What stands for a value that JSON cannot hold has at most this many characters.
const MOST_REPR: usize = 2000;

/// A value, or an error that begins with `place`.
pub(crate) fn to_value(object: &Bound<'_, PyAny>, place: &str) -> PyResult<Value> {
    Converter::new(true).value(object, &mut Place::new(place), 0)
}

/// An object, or an error that begins with `place`.
pub(crate) fn to_map(object: &Bound<'_, PyAny>, place: &str) -> PyResult<Map<String, Value>> {
    match to_value(object, place)? {
        Value::Object(map) => Ok(map),
        _ => Err(errors::wrong_type(object.py(), format!("{place} must be a dict, not {}", type_name(object)))),
    }
}

/// A value in which the `repr` of an object stands for what JSON cannot hold.
pub(crate) fn to_value_or_text(object: &Bound<'_, PyAny>) -> Value {
    let converter = Converter::new(false);
    converter.value(object, &mut Place::new(""), 0).unwrap_or_else(|_| match converter.left.get() {
        // Its `repr` would be as endless.
        0 => format!("<{}>", type_name(object)).into(),
        _ => text_of(object),
    })
}

/// The name of an object's type.
pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}

/// Where in the data we are.
struct Place {
    text: String,
}

impl Place {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
    fn within<T>(&mut self, part: &str, visit: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.text.len();
        self.text.push_str(part);
        let result = visit(self);
        self.text.truncate(length);
        result
    }
}

struct Converter {
    /// Refuse what JSON cannot hold, rather than write its `repr`.
    strict: bool,
    /// How many values more are taken.
    left: Cell<usize>,
    /// The containers that we are in.
    around: RefCell<Vec<*mut PyObject>>,
}

impl Converter {
    fn new(strict: bool) -> Self {
        Self { strict, left: Cell::new(MOST_VALUES), around: RefCell::default() }
    }

    /// A value that may hold others, unless it holds itself.
    fn value(&self, object: &Bound<'_, PyAny>, place: &mut Place, depth: usize) -> PyResult<Value> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(errors::wrong_value(object.py(), format!("{}: more than {MOST_VALUES} values", place.text)));
        };
        self.left.set(left);
        if self.around.borrow().contains(&object.as_ptr()) {
            return match self.strict {
                true => Err(errors::wrong_value(object.py(), format!("{}: the value holds itself", place.text))),
                // As Python writes it.
                false if object.is_instance_of::<PyDict>() => Ok("{...}".into()),
                false => Ok("[...]".into()),
            };
        }
        self.around.borrow_mut().push(object.as_ptr());
        let value = self.plain(object, place, depth);
        self.around.borrow_mut().pop();
        value
    }

    fn plain(&self, object: &Bound<'_, PyAny>, place: &mut Place, depth: usize) -> PyResult<Value> {
        let py = object.py();
        if depth > DEEPEST {
            return self.other(object, || {
                errors::wrong_value(py, format!("{}: nested deeper than {DEEPEST} levels", place.text))
            });
        }
        if object.is_none() {
            Ok(Value::Null)
        } else if let Ok(flag) = object.cast::<PyBool>() {
            Ok(Value::Bool(flag.is_true()))
        } else if let Ok(text) = object.cast::<PyString>() {
            match text.to_cow() {
                Ok(text) => Ok(Value::String(text.into_owned())),
                Err(error) => self.other(object, || {
                    let why = error.value(py).to_string();
                    errors::wrong_value(py, format!("{}: the text is not valid Unicode: {why}", place.text))
                }),
            }
        } else if object.is_instance_of::<PyInt>() {
            self.integer(object, place)
        } else if let Ok(float) = object.cast::<PyFloat>() {
            match Number::from_f64(float.value()) {
                Some(number) => Ok(Value::Number(number)),
                None => self.other(object, || {
                    errors::wrong_value(py, format!("{}: {} is no number that JSON has", place.text, float.value()))
                }),
            }
        } else if let Ok(map) = object.cast::<PyDict>() {
            let mut members = Map::new();
            for (key, value) in map {
                self.member(&mut members, &key, &value, place, depth)?;
            }
            Ok(Value::Object(members))
        } else if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
            let mut items = Vec::new();
            for (index, item) in object.try_iter()?.enumerate() {
                let item = item?;
                items.push(place.within(&format!("[{index}]"), |place| self.value(&item, place, depth + 1))?);
            }
            Ok(Value::Array(items))
        } else {
            self.converted(object, place, depth)
        }
    }

    fn member(
        &self,
        members: &mut Map<String, Value>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        place: &mut Place,
        depth: usize,
    ) -> PyResult<()> {
        let py = key.py();
        let name: Cow<'_, str> = match key.cast::<PyString>().map(|text| text.to_cow()) {
            Ok(Ok(name)) => name.into_owned().into(),
            _ if !self.strict => text_of(key).as_str().unwrap_or_default().to_owned().into(),
            Ok(Err(_)) => {
                return Err(errors::wrong_value(py, format!("{}: a key is not valid Unicode text", place.text)));
            }
            Err(_) => {
                let kind = type_name(key);
                return Err(errors::wrong_type(py, format!("{}: a key must be a str, not {kind}", place.text)));
            }
        };
        let value = place.within(&format!(".{name}"), |place| self.value(value, place, depth + 1))?;
        members.insert(name.into_owned(), value);
        Ok(())
    }

    fn integer(&self, object: &Bound<'_, PyAny>, place: &Place) -> PyResult<Value> {
        if let Ok(number) = object.extract::<i64>() {
            return Ok(number.into());
        }
        if let Ok(number) = object.extract::<u64>() {
            return Ok(number.into());
        }
        self.other(object, || {
            errors::wrong_value(object.py(), format!("{}: the integer needs more than 64 bits", place.text))
        })
    }

    /// What has a plain form of its own: a path, an enumeration's member, an integer of another library, a mapping.
    fn converted(&self, object: &Bound<'_, PyAny>, place: &mut Place, depth: usize) -> PyResult<Value> {
        let py = object.py();
        if object.hasattr("__fspath__")? {
            let path = py.import("os")?.call_method1("fsdecode", (object,))?;
            return self.value(&path, place, depth + 1);
        }
        if object.is_instance(&py.import("enum")?.getattr("Enum")?)? {
            return self.value(&object.getattr("value")?, place, depth + 1);
        }
        if object.hasattr("__index__")? && !object.hasattr("__len__")? {
            let number = py.import("operator")?.call_method1("index", (object,))?;
            return self.integer(&number, place);
        }
        if object.cast::<PyMapping>().is_ok() {
            let mut members = Map::new();
            for key in object.try_iter()? {
                let key = key?;
                self.member(&mut members, &key, &object.get_item(&key)?, place, depth)?;
            }
            return Ok(Value::Object(members));
        }
        self.other(object, || {
            let kind = type_name(object);
            errors::wrong_type(py, format!("{}: JSON has no form for {kind}", place.text))
        })
    }

    fn other(&self, object: &Bound<'_, PyAny>, refusal: impl FnOnce() -> PyErr) -> PyResult<Value> {
        if self.strict { Err(refusal()) } else { Ok(text_of(object)) }
    }
}

/// The `repr` of an object, shortened; its type where even that fails.
fn text_of(object: &Bound<'_, PyAny>) -> Value {
    let text = object.str().and_then(|text| text.to_cow().map(Cow::into_owned));
    let text = text.or_else(|_| object.repr().map(|text| text.to_string_lossy().into_owned()));
    let mut text = text.unwrap_or_else(|_| format!("<{}>", type_name(object)));
    if let Some((end, _)) = text.char_indices().nth(MOST_REPR) {
        let whole = text.len();
        text.truncate(end);
        let _never_fails = write!(text, "… ({whole} bytes)");
    }
    text.into()
}

/// The value as Python's plain data.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => number.into_pyobject(py)?.into_any(),
            (_, Some(number), _) => number.into_pyobject(py)?.into_any(),
            (_, _, Some(number)) => PyFloat::new(py, number).into_any(),
            _ => return Err(PyTypeError::new_err(format!("{number} is no number that Python has"))),
        },
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(members) => dict(py, members)?.into_any(),
    })
}

/// An object as a dict.
pub(crate) fn dict<'py>(py: Python<'py>, members: &Map<String, Value>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in members {
        dict.set_item(name, to_python(py, value)?)?;
    }
    Ok(dict)
}
