public import StrictJSON

extension JSONShape where Value == String {
    /// The name of a host, class or build.
    static var name: Self { .string(maxBytes: WireLimits.nameBytes) }

    /// An explaining text.
    static var text: Self { .string(maxBytes: WireLimits.textBytes) }

    /// 64 lower-case hexadecimal digits.
    static var digest: Self {
        Self(.words("64 hexadecimal digits")) { $0.stringValue.flatMap { $0.isHexadecimal(count: 64) ? $0 : nil } }
    }
}

extension JSONShape where Value == Int {
    /// A duration in milliseconds, at most a day.
    static var milliseconds: Self { .integer(0...86_400_000) }

    /// A number of tasks or steps.
    static var count: Self { .integer(0...Int(Int32.max)) }
}

extension JSONShape where Value == UniqueID {
    static var identifier: Self { Self(.words("32 hexadecimal digits")) { $0.stringValue.flatMap(UniqueID.init(hex:)) } }
}

extension JSONShape where Value == [UInt64] {
    static var leases: Self {
        let lease = JSONShape<UInt64>(.words("a positive integer")) { $0.wholeValue.flatMap { $0 > 0 ? $0 : nil } }
        return .list(of: lease, count: 0...WireLimits.leasesPerList)
    }
}

extension JSONShape where Value == JSONValue {
    /// An object that another part of the program reads.
    static var content: Self { Self(.object) { $0.objectValue == nil ? nil : $0 } }
}

extension UniqueID: JSONRepresentable {
    public var jsonValue: JSONValue? { .string(hex) }
}

extension String {
    /// Whether these are `count` lower-case hexadecimal digits.
    func isHexadecimal(count: Int) -> Bool {
        utf8.count == count && utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    /// The text of an error, cut at a character border to the bytes that a message may hold.
    func cut(to limit: Int = WireLimits.textBytes) -> String {
        guard utf8.count > limit else { return self }
        var end = utf8.index(startIndex, offsetBy: limit)
        while end > startIndex, String.Index(end, within: self) == nil { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}
