import TestSupport
import Testing

@testable import Weights

/// The rules for hostile files, one by one.
@Suite struct SafetensorsHeaderTests {
    private static let valid = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#

    @Test func aValidFileIsRead() throws {
        let header =
            #"{"__metadata__":{"format":"pt"},"b":{"data_offsets":[8,14],"shape":[3,1],"dtype":"BF16"},"#
            + #""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"s":{"dtype":"U8","shape":[],"data_offsets":[14,15]},"#
            + #""e":{"dtype":"I64","shape":[4,0],"data_offsets":[8,8]}}  "#
        try withFile(file(header, data: 15)) { file throws in
            #expect(file.metadata == ["format": "pt"])
            #expect(file.tensors.count == 4)
            #expect(file.tensors["a"]?.shape == [2])
            #expect(file.tensors["a"]?.byteRange == (8 + header.utf8.count)..<(16 + header.utf8.count))
            #expect(file.tensors["b"]?.elementType == .bf16)
            #expect(file.tensors["b"]?.count == 3)
            #expect(file.tensors["s"]?.count == 1)
            #expect(file.tensors["e"]?.count == 0)
        }
        try withFile(file("{}", data: 0)) { #expect($0.tensors.isEmpty) }
    }

    @Test(arguments: 0..<10) func aFileOfFewBytesIsRefused(count: Int) {
        #expect(refusal([UInt8](repeating: 0, count: count))?.code == .malformed)
    }

    @Test func theHeaderLengthIsCheckedAgainstTheFile() {
        var bytes = file(Self.valid, data: 8)
        for length in [UInt64(Self.valid.utf8.count) + 9, UInt64.max, UInt64.max - 7, UInt64(Int64.max), 1 << 63, 0] {
            withUnsafeBytes(of: length.littleEndian) { bytes.replaceSubrange(0..<8, with: $0) }
            #expect(refusal(bytes)?.code == .malformed, "length \(length)")
        }
    }

    @Test func theHeaderHasALimitOfItsOwn() throws {
        let padded = file(Self.valid + String(repeating: " ", count: 1000), data: 8)
        #expect(refusal(padded, limits: SafetensorsLimits(maxHeaderBytes: 1000))?.code == .tooLarge)
        #expect(refusal(padded, limits: SafetensorsLimits(maxHeaderBytes: 1000 + Self.valid.utf8.count)) == nil)
    }

    /// The head may be as long as the format allows, and no longer.
    @Test(arguments: [(100_000_000, true), (100_000_001, false)])
    func theHeadHasTheFormatsLength(length: Int, isRead: Bool) {
        let padding = [UInt8](repeating: 0x20, count: length - Self.valid.utf8.count)
        let error = refusal(file(Array(Self.valid.utf8) + padding, data: [UInt8](repeating: 0, count: 8)))
        #expect(isRead ? error == nil : error?.code == .tooLarge)
    }

    @Test(arguments: [
        " {}", "[]", "\"a\"", "{", "{}x", "{}\n", "{}\t", "{} \0", "{}{}", "{\"a\":}", "{\"__metadata__\":{}}]", "{'a':1}",
        #"{"__metadata__":{"a":{"b":{"c":{}}}}}"#,
    ])
    func theHeaderIsOneStrictObjectPaddedWithSpaces(header: String) {
        #expect(refusal(file(header, data: 0))?.code == .malformed)
    }

    @Test func invalidUTF8IsRefused() {
        #expect(
            refusal(file(Array(#"{"__metadata__":{"a":""#.utf8) + [0xC3] + Array("\"}}".utf8), data: []))?.code == .malformed)
        #expect(refusal(file(Array("{".utf8) + [0xFF] + Array("}".utf8), data: []))?.code == .malformed)
    }

    @Test func duplicateKeysAreRefused() {
        let entry = #""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#
        #expect(refusal(file("{\(entry),\(entry)}", data: 8))?.message.contains("two tensors are named") == true)
        #expect(refusal(file(#"{"__metadata__":{},"__metadata__":{}}"#, data: 0))?.message.contains("two members") == true)
        #expect(
            refusal(file(#"{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: 8))?.code == .malformed
        )
        // Different bytes, equal to Unicode.
        let names = safetensors([f32("\u{E9}", [1], shape: [1]), f32("e\u{301}", [1], shape: [1])])
        #expect(refusal(names)?.message.contains("two tensors are named") == true)
    }

    private static func many(_ count: Int) -> [UInt8] {
        let entries = (0..<count).map { #""\#($0)":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"# }
        return file("{\"__metadata__\":{},\(entries.joined(separator: ","))}", data: 0)
    }

    /// Limits are of memory, never of the number of tensors.
    @Test func aHeadMayNotTakeTooMuchMemory() throws {
        try withFile(Self.many(70_000)) { #expect($0.tensors.count == 70_000) }
        let small = SafetensorsLimits(maxMemory: 256 * 100)
        #expect(refusal(Self.many(90), limits: small) == nil)
        #expect(refusal(Self.many(110), limits: small)?.code == .tooLarge)
    }

    /// A few bytes of text for each value become far more in memory: refused long before the end.
    @Test(arguments: ["0", "[]", "null", "{}"]) func nestedRubbishIsRefused(element: String) {
        let count = 200_000
        let text = "{\"a\":[" + String(repeating: element + ",", count: count) + element + "]}"
        #expect(refusal(file(text, data: 0), limits: SafetensorsLimits(maxMemory: 2 << 20))?.code == .tooLarge)
        #expect(refusal(file(text, data: 0))?.code == .malformed, "that it is no tensor is found only after it was read")
    }

    @Test func namesAreAsTheFormatAllows() throws {
        for name in ["", "a\0b", String(repeating: "é", count: 5000), "__metadata", " "] {
            try withFile(safetensors([f32(name, [1], shape: [1])])) { #expect($0.tensors[name]?.shape == [1]) }
        }
    }

    @Test(arguments: [
        #"{}"#, #"[]"#, #"1"#, #"null"#, #"{"dtype":"F32","shape":[2]}"#, #"{"dtype":"F32","data_offsets":[0,8]}"#,
        #"{"shape":[2],"data_offsets":[0,8]}"#, #"{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":0}"#,
        #"{"dtype":"F32","shape":[2],"offsets":[0,8]}"#, #"{"dtype":1,"shape":[2],"data_offsets":[0,8]}"#,
        #"{"dtype":"F32","shape":2,"data_offsets":[0,8]}"#, #"{"dtype":"F32","shape":{"0":2},"data_offsets":[0,8]}"#,
        #"{"dtype":"F32","shape":[2],"data_offsets":8}"#,
    ])
    func entriesHaveExactlyThreeMembers(entry: String) {
        #expect(refusal(file("{\"a\":\(entry)}", data: 8))?.code == .malformed)
    }

    @Test(arguments: ["null", "{}", #"{"":""}"#]) func metadataMayBeEmpty(metadata: String) throws {
        try withFile(file("{\"__metadata__\":\(metadata)}", data: 0)) { file in
            #expect(file.tensors.isEmpty && file.metadata == (metadata.contains(":") ? ["": ""] : [:]))
        }
    }

    @Test(arguments: [#"[]"#, #""x""#, #"{"a":1}"#, #"{"a":null}"#, #"{"a":{}}"#, "true", "0"])
    func metadataIsStringsByString(metadata: String) {
        #expect(refusal(file("{\"__metadata__\":\(metadata)}", data: 0))?.code == .malformed)
    }

    /// Trainers write the counts of all their tags; there is no limit below that of the head.
    @Test func metadataMayBeLarge() throws {
        let text = String(repeating: "m", count: 40 << 20)
        try withFile(file("{\"__metadata__\":{\"k\":\"\(text)\",\"l\":\"x\"}}", data: 0)) {
            #expect($0.metadata["k"]?.utf8.count == 40 << 20 && $0.metadata["l"] == "x")
        }
    }

    @Test(arguments: ["F8_E4M3FNUZ", "F8_E8M0", "F6_E2M3", "F4", "C64", "f32", "", "Q4_K"])
    func otherElementTypesAreRefusedByName(type: String) throws {
        let error = try #require(refusal(file("{\"a\":{\"dtype\":\"\(type)\",\"shape\":[2],\"data_offsets\":[0,2]}}", data: 2)))
        #expect(error.code == .unsupportedElementType)
        #expect(
            error.message.contains("\"\(type)\"") && error.message.contains("\"a\"") && error.message.contains("F16 or F32"))
    }

    @Test(arguments: StoredElementType.allCases) func everyListedElementTypeIsRead(type: StoredElementType) throws {
        try withFile(safetensors([("a", type.rawValue, [3], [UInt8](repeating: 0, count: 3 * type.byteCount))])) {
            #expect($0.tensors["a"]?.elementType == type)
        }
    }

    @Test(arguments: ["-1", "-0", "1.0", "1e0", "\"2\"", "null", "true", "[2]", "18446744073709551616"])
    func extentsArePlainWholeNumbers(extent: String) {
        let header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[\(extent)],\"data_offsets\":[0,0]}}"
        #expect(refusal(file(header, data: 0))?.code == .malformed)
    }

    @Test func everyRankIsRead() throws {
        for rank in [0, 1, 8, 9, 400] {
            let shape = [Int](repeating: 1, count: rank)
            try withFile(safetensors([f32("a", [1], shape: shape)])) { #expect($0.tensors["a"]?.shape == shape) }
        }
    }

    /// Among them `[2^32, 2^32]`, whose product wraps to the 0 bytes that the offsets say.
    @Test(arguments: [
        "[4294967296,4294967296]", "[281474976710655,281474976710655]", "[281474976710655,281474976710655,0]",
        "[0,281474976710655,281474976710655]", "[2147483648,2147483648,2]",
    ])
    func overflowingSizesAreRefused(shape: String) {
        let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":\(shape),\"data_offsets\":[0,0]}}"
        let error = refusal(file(header, data: 0))
        #expect(error?.code == .malformed || shape.hasPrefix("[0"))
        // A product that begins with 0 cannot overflow and has no elements: it is an empty tensor.
        if shape.hasPrefix("[0") { #expect(error == nil) }
    }

    @Test(arguments: [
        "[0]", "[0,8,8]", "[]", "[0,8.0]", "[-0,8]", "[-8,0]", "[8,0]", "[\"0\",8]", "[0,7]", "[0,9]", "[1,9]", "[0,1e1]",
        "[0,9223372036854775807]", "[9223372036854775800,9223372036854775807]", "[0,18446744073709551616]", "[null,8]",
    ])
    func offsetsAreTwoWholeNumbersThatFitShapeAndFile(offsets: String) {
        let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":\(offsets)}}"
        #expect(refusal(file(header, data: 8))?.code == .malformed)
    }

    @Test func anEmptyTensorMayNotPointElsewhere() {
        let entry = { (offsets: String) in "{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":\(offsets)}}" }
        #expect(refusal(file(entry("[0,0]"), data: 0)) == nil)
        #expect(refusal(file(entry("[4,4]"), data: 0))?.code == .malformed)
        #expect(refusal(file(entry("[0,4]"), data: 4))?.code == .malformed)
    }

    @Test(arguments: [
        ("[0,8]", "[4,12]", 12, "overlaps"), ("[0,8]", "[0,8]", 8, "overlaps"), ("[0,8]", "[12,20]", 20, "hole"),
        ("[4,12]", "[12,20]", 20, "hole"), ("[0,8]", "[8,16]", 20, "follow its last"), ("[0,8]", "[8,16]", 15, "cut short"),
        ("[8,16]", "[0,8]", 16, ""),
    ])
    func tensorsCoverTheDataExactly(first: String, second: String, data: Int, reason: String) {
        let header =
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":\(first)},"
            + "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":\(second)}}"
        let error = refusal(file(header, data: data))
        if reason.isEmpty { #expect(error == nil) } else { #expect(error?.message.contains(reason) == true) }
    }

    @Test func otherFormatsAreRecognised() {
        // torch.save's archive: the length of the first name, then the name.
        let zip: [UInt8] =
            [0x50, 0x4B, 3, 4] + [UInt8](repeating: 0, count: 22) + [16, 0, 0, 0] + Array("archive/data.pkl".utf8)
            + [UInt8](repeating: 0, count: 20)
        #expect(refusal(zip)?.code == .unsupportedFormat && refusal(zip)?.message.contains("pickle") == true)
        for version in UInt8(2)...5 {
            let pickle: [UInt8] = [0x80, version] + Array("}qXstate_dict".utf8)
            #expect(refusal(pickle)?.code == .unsupportedFormat)
            #expect(refusal([0x80, version])?.code == .unsupportedFormat)
        }
        #expect(refusal(Array("GGUF\u{3}\0\0\0 and so on".utf8))?.code == .unsupportedFormat)
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
        let stored = refusal(Array(pointer.utf8))
        #expect(stored?.code == .unsupportedFormat && stored?.message.contains("Git LFS") == true)
    }

    /// The length 0x0280 begins with the bytes of a pickle.
    @Test func aGoodFileThatBeginsLikeAPickleIsRead() {
        let padding = String(repeating: " ", count: 0x0280 - Self.valid.utf8.count)
        #expect(refusal(file(Self.valid + padding, data: 8)) == nil)
    }
}
