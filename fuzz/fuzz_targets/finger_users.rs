//! The finger server's users file: a changed status is read back, and nothing else has changed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tress_app::finger_file::{parse, with_status};

// User, status and file, with a NUL between them; a file alone is read only.
fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let (Some(user), Some(status), Some(file)) = (parts.next(), parts.next(), parts.next()) else {
        parse(data).ok();
        return;
    };
    let (Ok(user), Ok(status)) = (str::from_utf8(user), str::from_utf8(status)) else {
        return;
    };
    let before = parse(file);
    let Ok(changed) = with_status(file, user, status) else {
        return;
    };
    let before = before.expect("what is no users file is not changed");
    let after = parse(&changed).expect("a changed file is still one");
    let user = user.trim_matches([' ', '\t']);
    assert_eq!(after.status(user), Some(status.trim_matches([' ', '\t'])));
    for (name, status) in before.iter().filter(|(name, _)| *name != user) {
        assert_eq!(after.status(name), Some(status));
    }
    let new = usize::from(before.status(user).is_none());
    assert_eq!(after.len(), before.len() + new);
    assert_eq!(
        with_status(&changed, user, status).as_ref(),
        Ok(&changed),
        "the same change twice"
    );
});
