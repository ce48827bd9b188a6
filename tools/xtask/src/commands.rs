//! Cutting what `-c` or standard input holds into the command lines that are typed one by one.

use anyhow::{Result, bail};

/// Splits at line ends, and at `;` outside quotes; trims, and drops empty pieces. Quotes and backslashes stay as they are: the machine's
/// shell reads them. A line end ends a command whatever is open, as at the prompt: a quote that is forgotten spoils one line, not all.
///
/// # Errors
/// At a control character. Typed at the prompt it would be a key (Ctrl-C, Tab, an arrow) and no part of a command.
pub fn split(input: &str) -> Result<Vec<String>> {
    let mut commands = Vec::new();
    for (index, line) in input.lines().enumerate() {
        let line = line.trim();
        if let Some(key) = line.chars().find(|c| c.is_control()) {
            bail!("line {}: the control character {} can't be part of a command", index + 1, named(key));
        }
        commands.extend(pieces(line));
    }
    Ok(commands)
}

fn pieces(line: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut quote = None;
    let mut escaped = false;
    for c in line.chars() {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != Some('\'') {
            escaped = true;
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() {
            match c {
                '"' | '\'' => quote = Some(c),
                ';' => {
                    pieces.push(std::mem::take(&mut piece));
                    continue;
                }
                _ => {}
            }
        }
        piece.push(c);
    }
    pieces.push(piece);
    pieces.iter().map(|piece| piece.trim()).filter(|piece| !piece.is_empty()).map(str::to_owned).collect()
}

/// A control character for people: its code, and the key that sends it.
fn named(c: char) -> String {
    let code = u32::from(c);
    match c {
        '\t' => "U+0009 (Tab)".to_owned(),
        '\r' => "U+000D (carriage return)".to_owned(),
        '\x1b' => "U+001B (Esc)".to_owned(),
        '\x7f' => "U+007F (Delete)".to_owned(),
        '\0'..='\x1f' => format!("U+{code:04X} (Ctrl-{})", char::from_u32(code + 0x40).unwrap_or(c)),
        _ => format!("U+{code:04X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn splits_at_semicolons_outside_quotes() {
        let split = |text| split(text).unwrap();
        assert_eq!(split("ps; services ;caps shell;"), ["ps", "services", "caps shell"]);
        assert_eq!(split(r#"echo "a;b"; echo 'c;d' ; echo e\;f"#), [r#"echo "a;b""#, "echo 'c;d'", r"echo e\;f"]);
        assert_eq!(split(r#"echo "it's; one"; x"#), [r#"echo "it's; one""#, "x"]);
        assert_eq!(split(r#"echo "\";" ; x"#), [r#"echo "\";""#, "x"]);
        assert_eq!(split("ps\nmem\r\n"), ["ps", "mem"]);
    }

    #[test]
    fn nothing_is_no_command() {
        assert!(split(" ; ;; \n\t\n").unwrap().is_empty());
    }

    #[test]
    fn an_open_quote_runs_to_the_end_of_its_line() {
        assert_eq!(split("echo 'a; b").unwrap(), ["echo 'a; b"]);
        assert_eq!(split("echo 'a; b\nps; mem\necho c\\\nuptime").unwrap(), ["echo 'a; b", "ps", "mem", "echo c\\", "uptime"]);
    }

    #[test]
    fn keys_are_no_part_of_a_command() {
        for (text, says) in [
            ("ps\x03", "line 1: the control character U+0003 (Ctrl-C)"),
            ("ps\nmem \x1b[A x", "line 2: the control character U+001B (Esc)"),
            ("p\ts", "U+0009 (Tab)"),
            ("a\rb", "U+000D (carriage return)"),
            ("\x01", "U+0001 (Ctrl-A)"),
            ("x\x7f", "U+007F (Delete)"),
            ("x\u{9b}y", "U+009B"),
        ] {
            let error = split(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }
}
