package import ContentHash
package import StrictJSON

extension SHA256Digest {
    /// A SHA-256 in lower-case hexadecimal digits.
    package static var shape: JSONShape<SHA256Digest> {
        JSONShape(.words("64 hexadecimal digits")) { $0.stringValue.flatMap { SHA256Digest(hex: $0) } }
    }
}
