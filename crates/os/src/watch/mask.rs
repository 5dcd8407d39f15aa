//! What can happen to a watched file, as bits. Names are those of Twisted's `humanReadableMask`.

use std::{
    fmt,
    ops::{BitOr, BitOrAssign},
};

/// Kinds of events, or what one event was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mask(pub(super) u32);

macro_rules! masks {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $word:literal;)*) => {
        impl Mask {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// Each with its word.
            const NAMED: &'static [(Self, &'static str)] = &[$((Self::$name, $word),)*];
        }
    };
}

masks! {
    /// It was read.
    ACCESS = 0x1, "access";
    /// It was written to.
    MODIFY = 0x2, "modify";
    /// Its rights, times or owner changed.
    ATTRIB = 0x4, "attrib";
    /// Somebody who could write closed it.
    CLOSE_WRITE = 0x8, "close_write";
    /// Somebody who could only read closed it.
    CLOSE_NOWRITE = 0x10, "close_nowrite";
    /// It was opened.
    OPEN = 0x20, "open";
    /// It was moved out of the directory.
    MOVED_FROM = 0x40, "moved_from";
    /// It was moved into the directory.
    MOVED_TO = 0x80, "moved_to";
    /// It was made in the directory.
    CREATE = 0x100, "create";
    /// It was deleted from the directory.
    DELETE = 0x200, "delete";
    /// What is watched was deleted itself.
    DELETE_SELF = 0x400, "delete_self";
    /// What is watched was moved itself.
    MOVE_SELF = 0x800, "move_self";
    /// What it lies on was unmounted. Always told.
    UNMOUNT = 0x2000, "unmount";
    /// The system has lost events: look for yourself. Always told, to every handler.
    OVERFLOW = 0x4000, "overflow";
    /// It is watched no more. Never told.
    IGNORED = 0x8000, "ignored";
    /// It is about a directory. Only in what is told.
    IS_DIR = 0x4000_0000, "is_dir";
}

impl Mask {
    /// Everything that changes something: Twisted's default.
    pub const CHANGES: Self = Self(0xfc6 | 0x2000);
    /// Either way to close it.
    pub const CLOSE: Self = Self(0x18);
    /// Either way to move it.
    pub const MOVED: Self = Self(0xc0);

    /// Whether it is any of these.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it is all of these.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Mask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Mask {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// `create|is_dir`
impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMED.iter().filter(|(one, _)| self.contains(*one));
        let words: Vec<&str> = named.map(|(_, word)| *word).collect();
        f.write_str(&words.join("|"))
    }
}
