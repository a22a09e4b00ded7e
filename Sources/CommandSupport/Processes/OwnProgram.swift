import Glibc

/// The programs of Patchloom that start one another. They lie in one folder.
public enum OwnProgram: String, Sendable {
    /// All commands but one, and every worker.
    case patchloom
    /// The command `compare`, which links FreeType and fontconfig to draw text.
    case compare = "patchloom-compare"

    /// The help's line for `compare`, in both programs.
    public static let compareAbstract = "Render the same pictures by several methods and compare them."

    /// Replaces the running program by this one, with the same arguments. Process number, descriptors and environment stay,
    /// so exit code and signals are this one's.
    ///
    /// - Throws: `unavailable` if it cannot start; otherwise it does not return.
    public func takeOver() throws(CommandFailure) -> Never {
        let path = try path()
        execv(path, CommandLine.unsafeArgv)
        throw CommandFailure(.unavailable, "The program \(path) cannot be started: \(systemText(errno)).")
    }

    /// The running file, even if another has replaced it on the disk.
    public static let runningFile = "/proc/self/exe"

    /// Its file in the folder of the running program.
    ///
    /// - Throws: `unavailable`, with the remedy, if the file does not exist.
    public func path() throws(CommandFailure) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(Self.runningFile, &buffer, buffer.count)
        let file = buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
        guard let slash = file.lastIndex(of: UInt8(ascii: "/")) else {
            throw CommandFailure(.unavailable, "The program \(rawValue) cannot be found without /proc: mount it.")
        }
        let folder = String(decoding: file[..<slash], as: UTF8.self)
        let path = "\(folder)/\(rawValue)"
        guard access(path, X_OK) == 0 else {
            throw CommandFailure(
                .unavailable,
                "The program \(rawValue) is missing in \(folder.isEmpty ? "/" : folder): build it by 'swift build -c release --product \(rawValue)' and put it there."
            )
        }
        return path
    }
}
