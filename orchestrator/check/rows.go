package check

func checkRows(seen *evidence) Result { return uncomputed("not there yet") }
