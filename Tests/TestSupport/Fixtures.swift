public import Foundation

/// Where test data lies.
public enum Fixtures {
    /// The folder of committed fixtures.
    public static var folder: URL { Bundle.module.resourceURL!.appendingPathComponent("Fixtures") }

    /// The full set of golden cases, a folder `shared/golden` beside the checkout or above it; nil where there is none.
    public static let sharedGolden: URL? = {
        var folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        while folder.path != "/" {
            folder.deleteLastPathComponent()
            let candidate = folder.appendingPathComponent("shared/golden")
            if FileManager.default.fileExists(atPath: candidate.appendingPathComponent("cases").path) { return candidate }
        }
        return nil
    }()
}
