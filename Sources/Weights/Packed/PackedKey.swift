public import ContentHash

/// The name of the weights in a file of packed weights. Networks of equal keys have the same packed weights.
public struct PackedKey: Sendable, Hashable {
    /// A number that changes when this program prepares weights in another way: other sums of LoRA files, other conversions.
    private static let revision = 1

    /// The identity of the model with its LoRA files.
    var model: SHA256Digest
    /// The network: `unet`, `vae-decoder`.
    var network: String
    /// The element type of the network's products.
    var precision: String
    /// Library, version and instruction sets.
    var library: String

    /// See the properties.
    public init(model: SHA256Digest, network: String, precision: String, library: String) {
        (self.model, self.network, self.precision, self.library) = (model, network, precision, library)
    }

    private static let firstLine = "patchloom packed weights \(revision)\n"

    /// Whether this program could use weights of such a key.
    static func isOfThisVersion(_ text: String) -> Bool { text.hasPrefix(firstLine) }

    /// The key in the file.
    var text: String {
        let lines = ["model \(model.hex)", "network \(network)", "precision \(precision)", "library \(library)"]
        return Self.firstLine + lines.map { $0 + "\n" }.joined()
    }

    /// The name of its file.
    var fileName: String {
        let hasher = SHA256Hasher()
        hasher.update(Array(text.utf8))
        return hasher.finalize().hex + PackedFolder.ending
    }
}
