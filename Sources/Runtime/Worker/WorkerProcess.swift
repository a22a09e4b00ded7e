internal import CSystem
internal import Glibc

/// A worker as a whole process.
public enum WorkerProcess {
    /// Works for a coordinator until told to stop, and gives the exit code to end with.
    ///
    /// A coordinator that is not there is looked for again and again, with waits that grow from half a second to thirty.
    /// SIGTERM and SIGINT drain: the current task is finished (up to 25 s), waiting ones are given back, and the code is 0; a
    /// second signal ends the process at once. When the lifeline hangs up the process ends at once, without returning. Errors
    /// are written to standard error as one line. To be called once in the life of a process.
    public static func run(_ options: WorkerOptions) -> Int32 {
        do throws(RuntimeError) {
            let signals = [SIGTERM, SIGINT]
            let descriptor = csystem_signals_open(signals, signals.count)
            guard descriptor >= 0 else {
                throw RuntimeError(.internalFault, "Signals cannot be received (error \(-descriptor)).")
            }
            let mailbox = try Mailbox<WorkerCommand>()
            // Detached for the life of the process: it waits for signals that may never come.
            _ = Unmanaged.passRetained(try OSThread(named: "pl-signals", stackBytes: 1 << 18) { listen(descriptor, mailbox) })
            let life = try WorkerLoop.main(options, mailbox) { () throws(RuntimeError) -> any TaskEngine in
                try RenderTaskEngine(options)
            }
            return end(life)
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
        // A task cannot be stopped, and must not run while the program's globals are torn down.
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
        let line = Array("patchloom worker: \(error.message)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}
