//! What crates above the core keep for a reactor: one value of each type. Does not look into them.

use super::Reactor;
use std::{
    any::{Any, TypeId},
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
};

#[derive(Default)]
pub(super) struct Extensions(RefCell<BTreeMap<TypeId, Rc<dyn Any>>>);

impl Reactor {
    /// The one value of this type that the reactor keeps, made by `make` when it is asked for first, and dropped with
    /// the reactor. For crates that add something to every reactor; a value that holds a [`Reactor`] keeps it for ever,
    /// so it takes a [`WeakReactor`](super::WeakReactor).
    ///
    /// # Errors
    /// What `make` failed with: then the next who asks tries again.
    pub fn extension<T: 'static, E>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Rc<T>, E> {
        let place = TypeId::of::<T>();
        let kept = self.0.extensions.0.borrow().get(&place).map(Rc::clone);
        if let Some(kept) = kept {
            return Ok(kept.downcast().expect("it lies under its own type"));
        }
        // Not borrowed: it may ask for others.
        let made = Rc::new(make()?);
        let old = self
            .0
            .extensions
            .0
            .borrow_mut()
            .insert(place, Rc::clone(&made) as Rc<dyn Any>);
        drop(old);
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use crate::{error::NotRunning, testing::memory::Table};
    use std::{cell::Cell, rc::Rc};

    #[test]
    fn one_of_each_type_for_each_reactor() {
        let [one, other] = [Table::new(), Table::new()];
        let get = |table: &Table, value| {
            let kept = table
                .reactor()
                .extension(|| Ok::<_, NotRunning>(Cell::new(value)));
            kept.expect("it can be made")
        };
        get(&one, 1_u32).set(5);
        assert_eq!(get(&one, 2_u32).get(), 5);
        assert_eq!(get(&other, 3_u32).get(), 3);
        let text = one.reactor().extension(|| Ok::<_, NotRunning>("text"));
        assert_eq!(*text.expect("it can be made"), "text");
        assert_eq!(get(&one, 4_u32).get(), 5);
    }

    #[test]
    fn what_could_not_be_made_is_made_later() {
        let table = Table::new();
        let failed = table.reactor().extension(|| Err::<u8, _>(NotRunning));
        assert!(failed.is_err());
        let made = table.reactor().extension(|| Ok::<_, NotRunning>(7_u8));
        assert_eq!(made.ok(), Some(Rc::new(7)));
    }

    #[test]
    fn it_goes_with_the_reactor() {
        let kept = Rc::new(());
        let table = Table::new();
        let own = Rc::clone(&kept);
        let extension = table
            .reactor()
            .extension(|| Ok::<_, NotRunning>((own, "kept")));
        drop(extension);
        assert_eq!(Rc::strong_count(&kept), 2);
        drop(table);
        assert_eq!(Rc::strong_count(&kept), 1);
    }
}
