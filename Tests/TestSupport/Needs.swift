public import Testing

/// Cancels the test, or the case of a test with arguments, where this machine lacks a part. The log names the reason.
public func needs(_ part: Bool, _ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    guard part else { try Test.cancel("this machine has no \(name)", sourceLocation: sourceLocation) }
}
