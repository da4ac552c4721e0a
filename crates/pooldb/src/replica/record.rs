//! XenAPI records in the replica: how their stored form is parsed and which references they hold.

use uuid::Uuid;
use xenapi::{Record, Value};

use super::StoredRecord;

impl StoredRecord for Record {
    fn from_stored(class: &'static str, value: &[u8]) -> Result<Self, String> {
        let class = Self::class_named(class).ok_or_else(|| format!("no class {class}"))?;
        let mut record = Self::from_stored(class, value).map_err(|e| e.to_string())?;
        record.shrink();
        Ok(record)
    }

    fn to_stored(&self) -> Vec<u8> {
        Self::to_stored(self)
    }

    fn for_each_ref(&self, found: &mut dyn FnMut(&'static str, Uuid)) {
        let fields = self.class().fields;
        for (index, value) in self.iter_set() {
            let name = fields[index.at()].name;
            walk(value, &mut |target| found(name, target));
        }
    }
}

fn walk(value: &Value, found: &mut dyn FnMut(Uuid)) {
    match value {
        Value::Ref(opaque) => {
            if let Some(target) = opaque.uuid() {
                found(target);
            }
        }
        Value::Set(items) => items.iter().for_each(|item| walk(item, found)),
        Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            walk(key, found);
            walk(value, found);
        }),
        _ => {}
    }
}
