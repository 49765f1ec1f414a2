//! How the program asks the system for memory.

/// Lets all threads share one heap, where glibc would give each its own.
///
/// A heap gives back only what is free at its end, and glibc makes up to eight for each core. What one thread takes
/// and another frees then adds up: an ingest of 200,000 chunks ended with 780 MB, of which it used a fifth. With one
/// heap it ends with 220 MB and takes the same time. To be called before the first thread starts.
/// `MALLOC_ARENA_MAX` in the environment has its way.
pub(crate) fn share() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        #[expect(
            unsafe_code,
            reason = "there is no safe call for it, and an environment variable would come late"
        )]
        // SAFETY: `mallopt` takes two numbers and has no conditions; what it refuses it leaves as it is.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}
