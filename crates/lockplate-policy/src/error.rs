//! Why a bundle is refused. Bundles are public documents signed by their owner, so these errors quote them: file, rule and
//! what is wrong, for the operator who has to mend it. Nothing of any request is ever in here.

/// A bundle that is not loaded. The keeper does not start, or keeps the digest it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    file: String,
    rule: Option<String>,
    fault: Fault,
}

/// What is wrong with a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No file of this path is part of a bundle, or its name has characters outside `a-z 0-9 -`.
    UnknownFile,
    /// A path given twice.
    FileTwice,
    /// A file that every bundle has is missing.
    FileMissing,
    /// Over [`crate::FILES_MAX`], [`crate::FILE_BYTES_MAX`] or [`crate::POLICIES_MAX`].
    TooLarge,
    /// A property file without the pack of the same name.
    NoPackForProperties,
    /// The text is not Cedar; the parser's sentence.
    Syntax(String),
    /// Accepted by Cedar with a warning, or by the strict validator not at all; its sentence.
    Validation(String),
    /// Templates are not used: the solver refuses sets with linked templates.
    Template,
    /// The `@id` is missing, is taken, or does not begin with the name of its pack.
    Id(&'static str),
    /// An annotation is missing.
    AnnotationMissing(&'static str),
    /// An annotation that means nothing on this kind of policy, and would be ignored in silence.
    AnnotationUnknown(String),
    /// An annotation that cannot be read.
    AnnotationMalformed(&'static str),
    /// A construct that could fail during a decision, or that no pack may use; its name.
    Construct(String),
    /// Permits exist in the base pack alone.
    PermitOutsideBase,
    /// A property must be a permit.
    PropertyNotPermit,
    /// The Cedar formatter (line width 120, indent 2) would change the file.
    NotFormatted,
}

impl LoadError {
    pub(crate) fn new(file: &str, rule: Option<&str>, fault: Fault) -> Self {
        Self { file: file.to_owned(), rule: rule.map(str::to_owned), fault }
    }

    /// Path of the file in the bundle.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Id of the policy or property; `None` where the file as a whole is wrong or the policy has no readable id.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// What is wrong.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::UnknownFile => f.write_str("is not the name of a file of a bundle"),
            Self::FileTwice => f.write_str("is given twice"),
            Self::FileMissing => f.write_str("is missing"),
            Self::TooLarge => f.write_str("is larger than a bundle may be"),
            Self::NoPackForProperties => f.write_str("there is no pack of the same name"),
            Self::Syntax(sentence) => write!(f, "cannot be read: {sentence}"),
            Self::Validation(sentence) => write!(f, "does not fit the schema: {sentence}"),
            Self::Template => f.write_str("templates are not allowed"),
            Self::Id(what) => write!(f, "@id {what}"),
            Self::AnnotationMissing(name) => write!(f, "annotation @{name} is missing"),
            Self::AnnotationUnknown(name) => write!(f, "annotation @{name} means nothing here"),
            Self::AnnotationMalformed(name) => write!(f, "annotation @{name} cannot be read"),
            Self::Construct(name) => write!(f, "construct `{name}` is not allowed"),
            Self::PermitOutsideBase => f.write_str("permits are allowed in the base pack alone"),
            Self::PropertyNotPermit => f.write_str("a property is written as a permit"),
            Self::NotFormatted => f.write_str("differs from the Cedar formatter's output (line width 120, indent 2)"),
        }
    }
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "{}: {rule}: {}", self.file, self.fault),
            None => write!(f, "{}: {}", self.file, self.fault),
        }
    }
}

impl core::error::Error for LoadError {}
