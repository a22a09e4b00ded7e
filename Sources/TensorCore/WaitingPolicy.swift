import CSystem
import Glibc

/// How computing threads wait for the next piece of work.
///
/// libgomp's threads, ours and oneDNN's, spin before they sleep, for some milliseconds by default. A U-Net call has thousands
/// of such waits, so on a host that is busy otherwise (other workers are) a worker takes the cores from those who have work,
/// and needs many times the CPU time itself. libgomp reads its settings when it is loaded, before any code of a program runs,
/// so a program that wants others must start itself again.
public enum WaitingPolicy {
    /// What the user may set, and what then counts.
    private static let variables = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"]
    /// Turns of libgomp's waiting loop before a thread sleeps. Two workers of two threads on two cores that others used too
    /// needed 15 s of CPU time for a picture with the default, 7 with 20,000, 3.5 with 2,000 and 2 to 2.5 with 500 or less. A
    /// worker that has its cores for itself takes as long with 2,000 as with 20,000, a tenth longer with 500, and a tenth to a
    /// third longer without any turns (`OMP_WAIT_POLICY=passive`).
    private static let spins = "2000"

    /// Sees to it that threads wait shortly in this process and in all that it starts. To be called first thing in `main`:
    /// where nothing is set the process begins again there, under the same number, with the same arguments and descriptors. The
    /// variable that is then set keeps it from doing so twice.
    ///
    /// - Parameter program: the name of the program in `ps` and `top`.
    /// - Returns: nil, or why the threads of this process wait as libgomp has it.
    public static func settle(program: String) -> String? {
        csystem_restore_name(program)
        // An empty value is none, and libgomp complains about it.
        for name in variables where getenv(name)?.pointee == 0 { unsetenv(name) }
        guard variables.allSatisfy({ getenv($0) == nil }) else { return nil }
        guard setenv(variables[0], spins, 1) == 0 else { return String(cString: strerror(errno)) }
        let reason = csystem_execute_again(CommandLine.unsafeArgv)
        unsetenv(variables[0])
        return String(cString: strerror(reason))
    }
}
