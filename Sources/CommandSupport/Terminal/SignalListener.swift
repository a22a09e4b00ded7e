import CSystem
import Foundation

/// Handles signals on a thread of our own, where all calls are allowed.
public enum SignalListener {
    /// Calls `handler` on its own thread for each of the signals, until the process ends. To be called once. An ignored
    /// hang-up, as under `nohup`, stays ignored.
    public static func start(_ signals: [Int32], _ handler: @escaping @Sendable (Int32) -> Void) throws(CommandFailure) {
        let descriptor = csystem_signals_open(signals, signals.count)
        guard descriptor >= 0 else {
            throw CommandFailure(.internalFault, "Signals cannot be handled: \(systemText(-descriptor)).")
        }
        Thread.detachNewThread {
            var number: UInt8 = 0
            while true {
                let count = read(descriptor, &number, 1)
                if count == 1 { handler(Int32(number)) }
                if count == 0 || (count < 0 && errno != EINTR) { return }
            }
        }
    }

    /// The failure of a command that the signal stopped; a hang-up counts as SIGTERM.
    public static func stopped(by signal: Int32) -> CommandFailure {
        CommandFailure(
            signal == SIGINT ? .interrupted : .terminated, "Stopped by a signal; the picture in hand was not written.")
    }
}
