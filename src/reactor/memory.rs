//! Owns what the process gives back to the kernel once it needs it no more. Knows nothing of what it was for.

use std::ops::Range;

use super::sys;

/// Gives back the pages of code that only the beginning has needed.
///
/// To read a command line and a configuration and to set everything up runs through a megabyte of code, and the
/// kernel maps 64 KiB around each page that is run. Such pages stay in its page cache, and those that are needed
/// again come back from there without reading a disk; until then they are not counted as ours and are the first to
/// go when memory is short.
///
/// Only a saving: where the kernel does not tell what is mapped, or will not have it back, nothing happens.
pub fn give_back_code() {
    let _ = sys::forget_code();
}

/// Gives back what the heap holds and nobody uses, where the C library can.
pub fn give_back_free_memory() {
    sys::trim_heap();
}

/// The addresses of a line of proc_pid_maps(5), if that is code from a file that nothing can be written to.
pub(super) fn code(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_ascii_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let is_code = fields.next()? == "r-xp";
    let (_offset, _device) = (fields.next()?, fields.next()?);
    let is_of_a_file = fields.next()? != "0";
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    (is_code && is_of_a_file).then_some(address(from)?..address(to)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_from_files_is_given_back() {
        let is_code = "7f00c0de1000-7f00c0de3000 r-xp 00026000 fe:00 131073   /usr/lib/libc.so.6";
        assert_eq!(code(is_code), Some(0x7f00_c0de_1000..0x7f00_c0de_3000));
        for other in [
            "7f00c0de1000-7f00c0de3000 r--p 00026000 fe:00 131073   /usr/lib/libc.so.6",
            "7f00c0de1000-7f00c0de3000 rwxp 00026000 fe:00 131073   /tmp/patched",
            "7ffd5a9f2000-7ffd5a9f4000 r-xp 00000000 00:00 0        [vdso]",
            "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]",
            "7f00c0de1000 r-xp",
            "",
        ] {
            assert_eq!(code(other), None, "{other}");
        }
    }

    /// How many KiB of code are resident, of this program and its libraries.
    fn resident_code() -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_code = false;
        let mut resident = 0;
        for line in maps.lines() {
            let first = line.split_ascii_whitespace().next().unwrap_or_default();
            if !first.ends_with(':') {
                is_code = code(line).is_some();
            } else if is_code && first == "Rss:" {
                let number = line.split_ascii_whitespace().nth(1).unwrap();
                resident += number.parse::<usize>().unwrap();
            }
        }
        resident
    }

    #[test]
    fn code_goes_and_comes_back_when_it_runs() {
        let before = resident_code();
        give_back_code();
        give_back_free_memory();
        let after = resident_code();
        assert!(after < before, "{before} KiB before, {after} after");
        let mut numbers: Vec<u32> = (0..1000).rev().collect();
        numbers.sort_unstable();
        assert!(numbers.is_sorted());
    }
}
