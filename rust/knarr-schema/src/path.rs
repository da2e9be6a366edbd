//! A field path as a linked list on the stack: descending costs nothing, and text is made only when an error is reported.

/// One step from the parent; the root has no step.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    pub const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    pub fn field<'b>(&'b self, name: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), step: Step::Field(name) }
    }

    pub fn index<'b>(&'b self, index: usize) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    pub fn key<'b>(&'b self, key: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    /// As Kubernetes writes it: `spec.containers[0].name`, `data[key]`. The root alone is `<nil>` there.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        if out.is_empty() { "<nil>".into() } else { out }
    }

    /// The text of a child field, without making the child first.
    pub fn child(&self, name: &str) -> String {
        self.field(name).text()
    }

    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
        }
        match self.step {
            Step::Root => {}
            Step::Field(name) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(name);
            }
            Step::Index(index) => {
                out.push('[');
                out.push_str(&index.to_string());
                out.push(']');
            }
            Step::Key(key) => {
                out.push('[');
                out.push_str(key);
                out.push(']');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_in_kubernetes() {
        let (spec, root) = (Path::ROOT.field("spec"), Path::ROOT);
        let containers = spec.field("containers");
        let first = containers.index(0);
        assert_eq!(first.child("name"), "spec.containers[0].name");
        assert_eq!(root.field("data").key("a.b").text(), "data[a.b]");
        assert_eq!(root.text(), "<nil>");
    }
}
