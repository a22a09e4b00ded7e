import COpenSSL

/// The SHA-256 of some content (FIPS 180-4). It names files, models and pictures wherever they are compared.
public struct SHA256Digest: Sendable, Hashable, CustomStringConvertible {
    /// 32 bytes, most significant first.
    public let bytes: [UInt8]

    /// A digest from received bytes; nil unless there are 32.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        self.bytes = Array(bytes)
    }

    /// A digest from 64 lower-case hexadecimal digits; nil for anything else.
    public init?(hex: String) {
        guard hex.utf8.count == 64 else { return nil }
        let values = hex.utf8.compactMap { SHA256Digest.digits.firstIndex(of: $0) }
        guard values.count == 64 else { return nil }
        bytes = stride(from: 0, to: 64, by: 2).map { UInt8(values[$0] << 4 | values[$0 + 1]) }
    }

    /// The digest of `content`.
    public init(of content: UnsafeRawBufferPointer) {
        let hasher = SHA256Hasher()
        hasher.update(content)
        self = hasher.finalize()
    }

    /// The digest of `content`.
    public init(of content: [UInt8]) {
        self = content.withUnsafeBytes { SHA256Digest(of: $0) }
    }

    fileprivate init(checked bytes: [UInt8]) { self.bytes = bytes }

    private static let digits = Array("0123456789abcdef".utf8)

    /// 64 hexadecimal digits, lower case.
    public var hex: String {
        String(decoding: bytes.flatMap { [Self.digits[Int($0 >> 4)], Self.digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    public var description: String { hex }
}

/// Computes the SHA-256 of content that comes in pieces. libcrypto does it, with the processor's SHA instructions if there
/// are any.
///
/// Not `Sendable`: the same thread must make, feed and finish it.
public final class SHA256Hasher {
    private let context: OpaquePointer
    private var isFinished = false

    public init() {
        // libcrypto fails here only if memory is exhausted or the library is broken. Nothing can go on then.
        guard let context = EVP_MD_CTX_new() else { preconditionFailure("libcrypto gave no digest context") }
        self.context = context
        precondition(EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1, "libcrypto has no SHA-256")
    }

    deinit { EVP_MD_CTX_free(context) }

    /// Adds the next bytes.
    public func update(_ content: UnsafeRawBufferPointer) {
        precondition(!isFinished, "a finished digest takes no more bytes")
        guard !content.isEmpty else { return }
        precondition(EVP_DigestUpdate(context, content.baseAddress, content.count) == 1, "libcrypto's SHA-256 failed")
    }

    /// Adds the next bytes.
    public func update(_ content: [UInt8]) { content.withUnsafeBytes { update($0) } }

    /// The digest of all bytes added. The hasher cannot be used afterwards.
    public func finalize() -> SHA256Digest {
        precondition(!isFinished, "a digest is finished once")
        isFinished = true
        var bytes = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        precondition(EVP_DigestFinal_ex(context, &bytes, &count) == 1 && count == 32, "libcrypto's SHA-256 failed")
        return SHA256Digest(checked: bytes)
    }
}
