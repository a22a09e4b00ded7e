internal import CSystem
internal import Glibc
import Sentences

/// A worker as a whole process.
public enum WorkerProcess {
    /// Works for a coordinator until told to stop, and returns the exit code. To be called once in a process. If the
    /// coordinator does not answer, the worker tries again, after waits that grow from half a second to thirty. SIGTERM and
    /// SIGINT drain: the worker finishes the call under way (up to 25 s), gives the other tasks back, and returns 0. A second
    /// signal ends the process at once, and so does a lifeline that hangs up. Errors go to standard error in one line.
    public static func run(_ options: WorkerOptions) -> Int32 {
        do throws(RuntimeError) {
            let signals = [SIGTERM, SIGINT]
            let descriptor = csystem_signals_open(signals, signals.count)
            guard descriptor >= 0 else {
                throw RuntimeError(.internalFault, "Signals cannot be received (error \(-descriptor)).")
            }
            let mailbox = try Mailbox<WorkerCommand>()
            // The thread waits for signals as long as the process lives.
            _ = Unmanaged.passRetained(try OSThread(named: "pl-signals", stackBytes: 1 << 18) { listen(descriptor, mailbox) })
            return end(try WorkerLoop.main(options, mailbox) { () throws(RuntimeError) in try RenderTaskEngine(options) })
        } catch {
            complain(error)
            return error.exitCode
        }
    }

    private static func end(_ life: WorkerLoop.Life) -> Int32 {
        let code: Int32
        switch life.ending {
        // The parent is gone: nobody waits for a result, and nobody reads an exit code.
        case .orphaned: _exit(RuntimeError.Code.temporary.rawValue)
        case .drained: code = 0
        case .failed(let error):
            complain(error)
            code = error.exitCode
        }
        // A call stops at its next product, and the building of a network at its end. Neither must run while the program's
        // globals are torn down.
        if life.isComputing { _exit(code) }
        life.compute.stop()
        return code
    }

    private static func listen(_ descriptor: Int32, _ mailbox: Mailbox<WorkerCommand>) {
        var signals = 0
        while true {
            var number: UInt8 = 0
            guard read(descriptor, &number, 1) == 1 else { continue }
            signals += 1
            if signals > 1 { _exit(128 + Int32(number)) }
            mailbox.post(.terminate)
        }
    }

    private static func complain(_ error: RuntimeError) {
        let line = Array("patchloom worker: \(error.logged)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}
