internal import Messages
import Sentences

/// Checks the texts that HELLO carries. The check comes at the start: a text that is too long would later make HELLO fail.
enum PeerTexts {
    static func check(joinToken: String?) throws(RuntimeError) {
        guard let joinToken else { return }
        guard !joinToken.isEmpty else {
            throw RuntimeError(.usage, "The join token is empty; set one, or leave it out.")
        }
        try check(joinToken, "The join token")
    }

    static func check(name: String) throws(RuntimeError) { try check(name, "The worker's name") }

    private static func check(_ text: String, _ title: String) throws(RuntimeError) {
        let bytes = text.utf8.count
        guard bytes <= WireLimits.nameBytes else {
            throw RuntimeError(.usage, "\(title) has \(bytes) bytes; it may have at most \(WireLimits.nameBytes).")
        }
    }
}
