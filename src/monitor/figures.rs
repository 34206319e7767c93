//! Figures as people read them.

/// A size, in the unit that leaves one to three digits before the point.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1024.0, unit + 1);
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A time, given in microseconds.
pub(super) fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us / 100 % 10),
        _ => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
    }
}

/// So many of something.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

/// The time of day of a moment, in seconds since 1970, in UTC: `15:04:05`.
pub(super) fn clock(seconds: i64) -> String {
    let of_day = seconds.rem_euclid(86_400);
    let (hours, minutes) = (of_day / 3600, of_day / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1_020_000, "996.1 KiB"),
            (1_030_000, "1.0 MiB"),
            (5 << 40, "5.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (us, text) in [
            (999, "999 us"),
            (1_250, "1.2 ms"),
            (999_999, "999.9 ms"),
            (61_250_000, "61.2 s"),
        ] {
            assert_eq!(time(us), text);
        }
        assert_eq!(count(1, "name", "names"), "1 name");
        assert_eq!(clock(86_400 + 3_661), "01:01:01");
    }
}
