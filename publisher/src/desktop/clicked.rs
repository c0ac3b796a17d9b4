//! How a DJ starts programs: by an icon. Then there are no arguments, and Windows opens a window for text that shows nothing to
//! anybody and ends the publisher when it is closed.

/// Whether somebody has clicked us, rather than typed our name.
#[cfg(not(windows))]
pub fn is_clicked() -> bool {
    // What macOS calls an application is a folder.
    std::env::current_exe().is_ok_and(|path| path.to_string_lossy().contains(".app/Contents/MacOS/"))
}

/// Whether somebody has clicked us, rather than typed our name: then nobody else is in our window.
#[cfg(windows)]
pub fn is_clicked() -> bool {
    let mut processes = [0; 2];
    // SAFETY: the function writes as many numbers as the slice has room for, and says how many there would be.
    #[expect(unsafe_code, reason = "the system has no other way to be asked")]
    let count = unsafe { windows::Win32::System::Console::GetConsoleProcessList(&mut processes) };
    count == 1
}

/// Closes the window for text, if it is there for us alone. What is printed afterwards is lost.
#[cfg(windows)]
pub fn leave_console() {
    if !is_clicked() {
        return;
    }
    // SAFETY: it takes nothing and gives nothing, and the standard library does without a standard error that is gone.
    #[expect(unsafe_code, reason = "the system has no other way to be asked")]
    let left = unsafe { windows::Win32::System::Console::FreeConsole() };
    if let Err(error) = left {
        tracing::debug!("cannot leave the console: {error}");
    }
}
