import Testing

/// Tests of the measurements that the other tests use.
@Suite struct SwiftTextTests {
    @Test func commentsAndStringsAreBlanked() {
        let source = ##"""
            let a = "{ \(b ? "}" : "{") try!" // { try!
            /* { /* { */ try! */ let c = #"{"\#(d)"}"# ; e("""
                { " }
                """)
            """##
        let blanked = SwiftText(source).lines
        #expect(blanked.count == 4)
        #expect(!blanked.joined().contains { "{}!\"".contains($0) })
        #expect(blanked[0].hasPrefix("let a = "))
        #expect(blanked[1].contains("let c = "))
        #expect(blanked[1].contains("; e("))
        #expect(blanked[3].hasSuffix(")"))
        #expect(zip(blanked, source.split(separator: "\n")).allSatisfy { $0.0.utf8.count == $0.1.utf8.count })
    }

    @Test func functionsAreMeasured() {
        let source = """
            protocol P {
                func required(a: Int) -> Int
                init(x: Int)
            }
            struct S {
                init(
                    a: Int, b: (Int, Int),
                    c: [Int: Int]
                ) {
                    self.init()
                }
                func one() { print("}") }
                func two(_ body: (Int, Int) -> Void = { _, _ in }) throws {
                    func inner(a: Int) {
                    }
                }
            }
            """
        #expect(
            MeasuredFunction.all(in: SwiftText(source)) == [
                MeasuredFunction(name: "init", line: 6, lineCount: 6, parameterCount: 3),
                MeasuredFunction(name: "one", line: 12, lineCount: 1, parameterCount: 0),
                MeasuredFunction(name: "two", line: 13, lineCount: 4, parameterCount: 0),
                MeasuredFunction(name: "inner", line: 14, lineCount: 2, parameterCount: 1),
            ])
    }
}
