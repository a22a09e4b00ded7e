import CSystem
import Glibc

/// The way in which computing threads wait for the next piece of work.
///
/// libgomp's threads, ours and oneDNN's, spin for some milliseconds before they sleep. A U-Net call has thousands of such
/// waits, so a worker on a busy host takes cores from other processes and needs many times the CPU time. libgomp reads its
/// settings before any code of a program runs, so a program must start itself again to change them.
///
/// OpenBLAS starts a thread for each core when it is loaded. They yield in a loop for some milliseconds until they sleep, and
/// nothing ever wakes them: `OpenBLASBackend` has a pool of its own. On two cores they were a quarter of the CPU time of a
/// render of 128×128 px with one worker.
public enum WaitingPolicy {
    /// The user's settings, which take precedence.
    private static let variables = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"]
    /// Turns of libgomp's waiting loop before a thread sleeps. Two workers of two threads on two busy cores needed 15 s of CPU
    /// time for a picture with the default, 7 with 20,000, 3.5 with 2,000 and 2 to 2.5 with 500 or less. A worker alone on its
    /// cores takes as long with 2,000 as with 20,000, a tenth longer with 500, and a tenth to a third longer without any turns
    /// (`OMP_WAIT_POLICY=passive`).
    private static let spins = "2000"

    /// The variable for the number of threads that OpenBLAS starts.
    private static let blasVariable = "OPENBLAS_NUM_THREADS"

    /// Makes threads wait shortly in this process and its children, and keeps OpenBLAS from starting some. Call it first in
    /// `main`: unless the user has set a variable, the process starts again with the same number, arguments and descriptors.
    /// The variable then set prevents a second start.
    ///
    /// - Parameter program: the name of the program in `ps` and `top`.
    /// - Returns: nil, or the reason why libgomp's default stays.
    public static func settle(program: String) -> String? {
        csystem_restore_name(program)
        // libgomp complains about an empty value.
        for name in variables where getenv(name)?.pointee == 0 { unsetenv(name) }
        guard variables.allSatisfy({ getenv($0) == nil }) else { return nil }
        let isSet = setenv(variables[0], spins, 1) == 0 && setenv(blasVariable, "1", 1) == 0
        let reason = isSet ? csystem_execute_again(CommandLine.unsafeArgv) : errno
        for name in [variables[0], blasVariable] { unsetenv(name) }
        return String(cString: strerror(reason))
    }
}
