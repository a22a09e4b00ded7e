/// Amounts for people: three significant digits and a unit.
public enum Amounts {
    /// Multiplications and additions: "2.51 TFLOP".
    public static func operations(_ count: Double) -> String {
        scaled(count, by: 1000, ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"])
    }

    /// "284 MiB".
    public static func bytes(_ count: Int) -> String {
        scaled(Double(count), by: 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
    }

    private static func scaled(_ value: Double, by factor: Double, _ units: [String]) -> String {
        var (value, unit) = (value, 0)
        while value >= factor * 0.9995, unit + 1 < units.count {
            value /= factor
            unit += 1
        }
        guard value.isFinite, value < 1e15 else { return "more than 1e15 \(units[unit])" }
        let digits = value >= 99.95 || unit == 0 ? 1.0 : value >= 9.995 ? 10.0 : 100.0
        let rounded = (value * digits).rounded() / digits
        return "\(rounded == rounded.rounded() ? String(Int(rounded)) : String(rounded)) \(units[unit])"
    }
}
