import Glibc

/// The programs of Patchloom that start one another. They lie in one folder.
public enum OwnProgram: String, Sendable {
    /// All commands but one, and every worker.
    case patchloom
    /// The command `compare`, which links what draws text: FreeType and fontconfig.
    case compare = "patchloom-compare"

    /// What the help says of `compare`, in both programs.
    public static let compareAbstract = "Render the same pictures by several methods and compare them."

    /// Replaces the running program by this one, with the same arguments. Process number, descriptors and environment stay, so
    /// that exit code and signals are this one's.
    ///
    /// - Throws: `unavailable`, when it cannot be started; otherwise it does not return.
    public func takeOver() throws(CommandFailure) -> Never {
        let path = try path()
        execv(path, CommandLine.unsafeArgv)
        throw CommandFailure(.unavailable, "The program \(path) cannot be started: \(systemText(errno)).")
    }

    /// Its file beside that of the running program.
    ///
    /// - Throws: `unavailable`, with the remedy, when it is not there.
    func path() throws(CommandFailure) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let file = buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
        guard let slash = file.lastIndex(of: UInt8(ascii: "/")) else {
            throw CommandFailure(
                .unavailable,
                "The program \(rawValue) cannot be found, because /proc does not say where this one lies: mount /proc.")
        }
        let folder = String(decoding: file[..<slash], as: UTF8.self)
        let path = "\(folder)/\(rawValue)"
        guard access(path, X_OK) == 0 else {
            throw CommandFailure(
                .unavailable,
                "The program \(rawValue) is needed for this and is not in \(folder.isEmpty ? "/" : folder): build it by 'swift build -c release --product \(rawValue)' and put it there."
            )
        }
        return path
    }
}

/// The file that worker processes are started from: always one of `patchloom`, whichever program starts them.
public struct WorkerProgram: Sendable {
    let path: String

    /// For `patchloom`: the file that runs, also when another has taken its place on the disk meanwhile.
    public static let thisProgram = WorkerProgram(path: "/proc/self/exe")

    /// For other programs: `patchloom` in the same folder.
    ///
    /// - Throws: `unavailable`, with the remedy, when it is not there.
    public static func besideThis() throws(CommandFailure) -> WorkerProgram {
        WorkerProgram(path: try OwnProgram.patchloom.path())
    }
}
