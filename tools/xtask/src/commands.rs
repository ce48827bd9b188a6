//! Cutting a `-c` string into the command lines that are typed one by one.

/// Splits at `;` outside quotes, trims, and drops empty pieces. Quotes and backslashes stay as they are: the machine's shell reads them.
pub fn split(input: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut quote = None;
    let mut escaped = false;
    for c in input.chars() {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != Some('\'') {
            escaped = true;
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() {
            match c {
                '"' | '\'' => quote = Some(c),
                ';' | '\n' => {
                    lines.push(std::mem::take(&mut line));
                    continue;
                }
                _ => {}
            }
        }
        line.push(c);
    }
    lines.push(line);
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn splits_at_semicolons_outside_quotes() {
        assert_eq!(split("ps; services ;caps shell;"), ["ps", "services", "caps shell"]);
        assert_eq!(split(r#"echo "a;b"; echo 'c;d' ; echo e\;f"#), [r#"echo "a;b""#, "echo 'c;d'", r"echo e\;f"]);
        assert_eq!(split(r#"echo "it's; one"; x"#), [r#"echo "it's; one""#, "x"]);
        assert_eq!(split(r#"echo "\";" ; x"#), [r#"echo "\";""#, "x"]);
        assert_eq!(split("ps\nmem\n"), ["ps", "mem"]);
    }

    #[test]
    fn nothing_is_no_command() {
        assert!(split(" ; ;; \n").is_empty());
    }

    #[test]
    fn an_open_quote_runs_to_the_end() {
        assert_eq!(split("echo 'a; b"), ["echo 'a; b"]);
    }
}
