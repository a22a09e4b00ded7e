internal import Messages

/// Checks the texts that HELLO carries. The check comes at the start: a text that is too long would later make HELLO fail.
enum PeerTexts {
    static func check(joinToken: String?) throws(RuntimeError) {
        guard let joinToken else { return }
        guard !joinToken.isEmpty else {
            throw RuntimeError(.usage, "The join token is empty; set one, or leave it out.")
        }
        guard joinToken.utf8.count <= WireLimits.nameBytes else {
            let text = "The join token has \(joinToken.utf8.count) bytes; it may have at most \(WireLimits.nameBytes)."
            throw RuntimeError(.usage, text)
        }
    }

    static func check(name: String) throws(RuntimeError) {
        guard name.utf8.count <= WireLimits.nameBytes else {
            let text = "The worker's name has \(name.utf8.count) bytes; it may have at most \(WireLimits.nameBytes)."
            throw RuntimeError(.usage, text)
        }
    }
}
