import Glibc

/// The folders of this program on this host.
enum StandardFolders {
    /// Models that a user imported; nil if no variable names an absolute path.
    static var store: String? {
        folder("PATCHLOOM_HOME", "") ?? folder("XDG_DATA_HOME", "/patchloom") ?? folder("HOME", "/.local/share/patchloom")
    }

    /// The folder of files that can be made again at any time; nil if no variable names an absolute path.
    static var cache: String? {
        folder("PATCHLOOM_HOME", "/cache") ?? folder("XDG_CACHE_HOME", "/patchloom") ?? folder("HOME", "/.cache/patchloom")
    }

    private static func folder(_ variable: String, _ below: String) -> String? {
        guard let value = getenv(variable).map({ String(cString: $0) }), value.hasPrefix("/") else { return nil }
        return value + below
    }
}
