//! Owns the status page, and what a browser may do on it. Knows nothing of who serves it.

/// The status page: one document that asks for `metrics` beside it once a second, and for nothing else.
pub const PAGE: &str = include_str!("page.html");

/// The page's `Content-Security-Policy` (CSP level 3): it runs the one script and the one style that stand in it, by
/// their hashes, and talks to where it came from alone. So nothing that a figure or a label could bring in is ever
/// run.
pub const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-SA67jRN9LhFgtS1+IEEMszEfWxJcEbPqj00gGkX+1Qc='; \
    style-src 'sha256-r3WKUL5B6sRDfZBvxvQWEcnxAJ3WeJU8mu0HK5b8JzE='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Encoding};
    use sha2::{Digest, Sha256};

    use super::*;

    /// What the browser computes: the hash of all between the tags, line ends too.
    fn source_of(element: &str) -> String {
        let (_, rest) = PAGE.split_once(&format!("<{element}>")).unwrap();
        let (inside, _) = rest.split_once(&format!("</{element}>")).unwrap();
        let hash = Base64::encode_string(&Sha256::digest(inside));
        format!("{element}-src 'sha256-{hash}';")
    }

    #[test]
    fn the_policy_allows_the_script_and_the_style_of_the_page() {
        for element in ["script", "style"] {
            let source = source_of(element);
            assert!(POLICY.contains(&source), "{POLICY}\nlacks {source}");
        }
    }

    #[test]
    fn the_page_is_one_small_document() {
        // It is in the binary, and so in everybody's.
        assert!(PAGE.len() < 12 * 1024, "{} bytes", PAGE.len());
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert_eq!(PAGE.matches("<style").count(), 1);
        // Of anywhere else it only names what an SVG element is.
        let elsewhere = PAGE.replace("http://www.w3.org/2000/svg", "");
        for way_out in ["//", " src=", "url(", "@import", "style="] {
            let code = elsewhere.lines();
            let code = code.filter(|line| !line.trim_start().starts_with("// "));
            let lines: Vec<&str> = code.filter(|line| line.contains(way_out)).collect();
            assert_eq!(lines, Vec::<&str>::new(), "{way_out}");
        }
    }
}
