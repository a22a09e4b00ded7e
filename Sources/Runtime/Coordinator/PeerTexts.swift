internal import Messages

/// What a user gives and HELLO carries. Checked at the start: later a text that is too long would only be a message that cannot
/// be written.
enum PeerTexts {
    static func check(joinToken: String?) throws(RuntimeError) {
        guard let joinToken else { return }
        guard !joinToken.isEmpty else {
            throw RuntimeError(.usage, "The join token is empty; give one, or none at all.")
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
