public import Foundation

/// Where test data lies.
public enum Fixtures {
    /// The folder of committed fixtures.
    public static var folder: URL { Bundle.module.resourceURL!.appendingPathComponent("Fixtures") }
}
